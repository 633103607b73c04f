"""What the tests of live streams share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from django_partstream import hub
from django_partstream.asgi import get_application
from django_partstream.live import changes
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

    assert hub.running_hubs() == ()
