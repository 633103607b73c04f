"""Live streams as their clients see them, over HTTP and over a socket."""

from __future__ import annotations

from typing import Any

import pytest

from django_partstream import apublish
from tests.live import views
from tests.live.http_client import opened

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("prompt"),
]


async def test_part_is_sent_again_when_its_topic_is_published(application: Any) -> None:
    async with opened(application, "/board/?live=1") as stream:
        first = await stream.hears_until("live")
        views.shown["stock"] = 7
        await apublish("stock")

        again = await stream.hears()

    assert [frame["type"] for frame in first] == ["start", *["part"] * 5, "live"]
    assert (again["type"], again["name"], again["data"]) == ("part", "stock", 7)
    assert again["cursor"] is None
