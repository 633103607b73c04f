"""What the tests of live streams share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from django_partstream import hub
from django_partstream.asgi import get_application
from django_partstream.live import changes
from tests.forms import PATIENCE
from tests.live import views

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def application(settings: Any) -> Any:
    settings.ROOT_URLCONF = "tests.live.urls"

    return get_application()


@pytest.fixture
def prompt(monkeypatch: Any) -> None:
    """Parts are made again at once."""
    monkeypatch.setattr(changes, "PAUSE_SECONDS", (0.001, 0.002))


@pytest.fixture(autouse=True)
async def nothing_remains() -> AsyncIterator[None]:
    views.reset()
    yield

    # On a busy machine the goodbye may take longer than a leaver waits for it.
    async with asyncio.timeout(PATIENCE):
        while hub.running_hubs() != ():
            await asyncio.sleep(0.01)
