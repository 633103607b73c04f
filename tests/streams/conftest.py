"""Fixtures for the tests of streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.streams import views

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def site(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.streams.urls"
    views.reset()
    yield
    views.reset()
