"""Live streams as their clients hear them over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from django_partstream import apublish, hub
from django_partstream.live import changes, following
from django_partstream.transports import shutdown
from tests.forms import PATIENCE
from tests.live import views
from tests.live.http_client import opened

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("prompt"),
]


async def until(state: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not state():
            await asyncio.sleep(0.005)


def content(frame: Any) -> tuple[str, str, Any]:
    """What a frame says of a part."""
    said = frame["error"]["code"] if frame["type"] == "error" else frame["data"]

    return frame["type"], frame["name"], said


@pytest.mark.parametrize("accept", [b"application/x-ndjson", b"text/event-stream"])
async def test_part_is_sent_again_when_its_topic_is_published(
    application: Any, accept: bytes
) -> None:
    async with opened(application, "/board/?live=1", accept=accept) as stream:
        first = await stream.hears_until("live")
        views.shown["stock"] = 7
        await apublish("stock")

        again = await stream.hears()

    assert [frame["type"] for frame in first] == ["start", *["part"] * 5, "live"]
    assert content(again) == ("part", "stock", 7)
    assert again["cursor"] is None


async def test_parts_without_the_topic_are_not_made_again(application: Any) -> None:
    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        views.shown |= {"orders": 1, "stock": 2, "both": 3, "static": 4}
        await apublish("orders")
        heard = [await stream.hears(), await stream.hears()]

    assert sorted(map(content, heard)) == [("part", "both", 3), ("part", "orders", 1)]
    assert views.made["stock"] == views.made["static"] == 1


async def test_stream_without_live_ends_and_joins_no_topic(application: Any) -> None:
    async with opened(application, "/board/") as stream:
        heard = await stream.hears_until("end")

    assert heard[-1]["reason"] == "complete"
    assert "live" not in [frame["type"] for frame in heard]


def test_page_is_a_page_though_live_is_asked_for(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.live.urls"
    first = client.get("/board/?live=1").json()
    second = client.get(f"/board/?live=1&cursor={first['cursor']}").json()

    assert [next(iter(result)) for result in second["results"]] == ["orders", "stock"]


async def test_what_is_published_while_the_parts_are_first_made_is_not_missed(
    application: Any,
) -> None:
    async with opened(application, "/slow/?live=1") as stream:
        await stream.hears_until("start")
        await views.begun["slow"].wait()
        views.shown["slow"] = "new"
        await apublish("slow")
        views.release["slow"].set()
        first, alive, again = [await stream.hears() for _ in range(3)]

    assert content(first) == ("part", "slow", 0)
    assert alive == {"type": "live"}
    assert content(again) == ("part", "slow", "new")


async def test_what_is_published_while_a_part_is_made_again_makes_it_once_more(
    application: Any,
) -> None:
    views.release["slow"].set()

    async with opened(application, "/slow/?live=1") as stream:
        await stream.hears_until("live")
        views.release["slow"].clear()
        views.begun["slow"].clear()
        views.shown["slow"] = 1
        await apublish("slow")
        await views.begun["slow"].wait()
        views.shown["slow"] = 2
        await apublish("slow")
        views.release["slow"].set()
        heard = [await stream.hears(), await stream.hears()]

    assert [frame["data"] for frame in heard] == [1, 2]


async def test_unchanged_part_is_not_sent_again(application: Any) -> None:
    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        await apublish("stock")
        await until(lambda: views.made["stock"] == views.made["both"] == 2)
        views.shown["orders"] = 1
        await apublish("orders")
        heard = await stream.hears()

    assert content(heard) == ("part", "orders", 1)


async def test_burst_of_publishes_makes_a_part_a_few_times_and_ends_with_the_last(
    application: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(changes, "PAUSE_SECONDS", (0.1, 1.0))

    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        began = time.monotonic()

        for number in range(1_000):
            views.shown["stock"] = number + 1
            await apublish("stock")

        while (await stream.hears())["data"] != 1_000:
            pass

        seconds = time.monotonic() - began

    # A few times at first, then twice a second at most for as long as it lasts.
    assert views.made["stock"] <= 10 + 2 * seconds


async def test_pauses_grow_while_publishes_keep_coming() -> None:
    pace = changes.Pace()
    pauses = []

    for _ in range(6):
        pauses.append(pace.pause)
        pace.made(seconds=0.0, busy=True)

    first, most = changes.PAUSE_SECONDS
    bounds = [min(first * 2**count, most) for count in range(6)]
    pace.made(seconds=0.0, busy=False)

    assert all(b / 2 <= p <= b for p, b in zip(pauses, bounds, strict=True))
    assert pace.pause <= first

    pace.made(seconds=3.0, busy=False)
    assert 1.5 <= pace.pause <= 3.0


async def test_lost_message_is_made_up_for_by_the_refresh(
    application: Any, settings: Any
) -> None:
    settings.PARTSTREAM = {"LIVE_REFRESH_SECONDS": 0.1}

    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        views.shown["stock"] = "changed, and nobody said so"
        heard = await stream.hears()

    assert content(heard) == ("part", "stock", "changed, and nobody said so")


async def test_value_that_was_cached_before_the_publish_is_not_sent(
    application: Any,
) -> None:
    cache.clear()

    async with (
        opened(application, "/totals/?live=1") as stream,
        opened(application, "/totals/?live=1") as other,
    ):
        await stream.hears_until("live")
        await other.hears_until("live")
        views.shown["totals"] = 7
        await apublish("orders")
        heard = [await stream.hears(), await other.hears()]

    assert [frame["data"] for frame in heard] == [7, 7]
    # Once at first, and once for both after the publish.
    assert views.made["totals"] == 2


async def test_value_that_was_cached_before_is_found_out_by_the_refresh(
    application: Any, settings: Any
) -> None:
    cache.clear()
    settings.PARTSTREAM = {"LIVE_REFRESH_SECONDS": 0.2}

    async with opened(application, "/totals/?live=1") as stream:
        await stream.hears_until("live")
        views.shown["totals"] = "changed, and nobody said so"
        heard = await stream.hears()

    assert heard["data"] == "changed, and nobody said so"


async def test_part_that_fails_again_is_an_error_until_it_succeeds(
    application: Any,
) -> None:
    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        views.shown["orders"] = RuntimeError("password=hunter2")
        await apublish("orders")
        bad = await stream.hears()
        views.shown["orders"] = "well again"
        await apublish("orders")
        good = await stream.hears()

    assert content(bad) == ("error", "orders", "failed")
    assert "hunter2" not in json.dumps(bad)
    assert content(good) == ("part", "orders", "well again")


async def test_part_that_comes_later_is_sent_and_one_that_goes_is_gone(
    application: Any,
) -> None:
    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        views.shown |= {"hidden": ["both"], "more": {"late": "late"}, "late": "hello"}
        await apublish("stock")
        heard = [await stream.hears(), await stream.hears()]
        # It has a topic that nobody had before.
        views.shown["late"] = "again"
        await apublish("late")
        late = await stream.hears()
        views.shown["hidden"] = []
        await apublish("late")
        back = await stream.hears()

    assert list(map(content, heard)) == [
        ("error", "both", "gone"),
        ("part", "late", "hello"),
    ]
    assert content(late) == ("part", "late", "again")
    assert content(back) == ("part", "both", 0)


async def test_only_the_parts_that_were_asked_for_are_followed(
    application: Any,
) -> None:
    async with opened(application, "/board/?live=1&parts=meta,stock") as stream:
        first = await stream.hears_until("live")
        views.shown |= {"both": 1, "more": {"late": "stock"}, "stock": 1}
        await apublish("stock")
        changed = await stream.hears()
        views.shown["hidden"] = ["stock"]
        await apublish("stock")
        gone = await stream.hears()

    assert first[0]["parts"] == ["meta", "stock"]
    assert content(changed) == ("part", "stock", 1)
    assert content(gone) == ("error", "stock", "gone")
    assert views.made["both"] == views.made["late"] == 0


async def test_whoever_comes_back_gets_what_may_have_changed_meanwhile(
    application: Any,
) -> None:
    views.release["slow"].set()

    async with opened(application, "/board/?live=1") as stream:
        start = await stream.hears()
        meta = await stream.hears()

    async with opened(application, f"/board/?live=1&cursor={meta['cursor']}") as stream:
        resumed = await stream.hears_until("live")

    assert start["parts"] == ["meta", "static", "orders", "stock", "both"]
    assert resumed[0]["parts"] == ["static", "orders", "stock", "both"]

    last = [frame for frame in resumed if frame["type"] == "part"][-2]["cursor"]

    async with opened(application, f"/board/?live=1&cursor={last}") as stream:
        resumed = await stream.hears_until("live")

    assert set(resumed[0]["parts"]) >= {"orders", "stock", "both"}


async def test_expired_cursor_begins_a_live_stream_anew(
    application: Any, settings: Any
) -> None:
    async with opened(application, "/board/?live=1") as stream:
        cursor = (await stream.hears())["cursor"]

    settings.PARTSTREAM = {"CURSOR_TTL_SECONDS": 0.000001}

    async with opened(application, f"/board/?live=1&cursor={cursor}") as stream:
        heard = await stream.hears_until("live")

    assert stream.status == 200
    assert heard[0]["parts"] == ["meta", "static", "orders", "stock", "both"]


async def test_live_stream_ends_after_its_own_deadline(
    application: Any, settings: Any, monkeypatch: Any
) -> None:
    # Of the first run it is a minute.
    monkeypatch.setattr(following, "DEADLINES", 0.3 / 60)
    settings.PARTSTREAM = {"STREAM_DEADLINE_SECONDS": 60}

    async with opened(application, "/board/?live=1") as stream:
        heard = await stream.hears_until("end")

    assert heard[-2] == {"type": "live"}
    assert heard[-1] == {
        "type": "end",
        "ok": 5,
        "failed": 0,
        "cursor": None,
        "reason": "deadline",
    }


async def test_stream_that_does_not_finish_its_first_run_is_never_live(
    application: Any, settings: Any
) -> None:
    settings.PARTSTREAM = {"STREAM_DEADLINE_SECONDS": 0.05}

    async with opened(application, "/slow/?live=1") as stream:
        heard = await stream.hears_until("end")

    assert [frame["type"] for frame in heard] == ["start", "end"]
    assert heard[-1]["reason"] == "deadline"
    assert heard[-1]["cursor"]


async def test_client_that_leaves_ends_the_work_at_once(application: Any) -> None:
    views.release["slow"].set()

    async with opened(application, "/slow/?live=1") as stream:
        await stream.hears_until("live")
        views.release["slow"].clear()
        views.begun["slow"].clear()
        await apublish("slow")
        await views.begun["slow"].wait()

    assert hub.running_hubs() == ()
    assert not [task for task in asyncio.all_tasks() if "live" in repr(task.get_coro())]


async def test_shutdown_ends_a_live_stream_with_shutdown(
    application: Any, monkeypatch: Any
) -> None:
    restarting = shutdown.Shutdown()
    monkeypatch.setattr(shutdown, "current", lambda: restarting)

    async with opened(application, "/board/?live=1") as stream:
        await stream.hears_until("live")
        views.shown["stock"] = 1
        await apublish("stock")
        await stream.hears()
        restarting.request(lambda: None)
        end = await stream.hears()
        after = await stream.hears()

    assert end == {
        "type": "end",
        "ok": 5,
        "failed": 0,
        "cursor": None,
        "reason": "shutdown",
    }
    assert after is None


async def test_list_is_sent_again_from_its_beginning_when_it_changed(
    application: Any,
) -> None:
    views.shown["items"] = [1, 2]

    async with opened(application, "/listed/?live=1") as stream:
        first = await stream.hears_until("live")
        await apublish("items")
        await until(lambda: views.made["items"] == 2)
        views.shown["items"] = [1, 2, 3]
        await apublish("items")
        again = await stream.hears_until("part")

    assert merged(first) == [1, 2]
    assert merged(again) == [1, 2, 3]


def merged(heard: list[Any]) -> list[Any]:
    """The list that a client has after these frames."""
    items: list[Any] = []

    for frame in heard:
        if frame["type"] == "items":
            items = (items if frame["seq"] else []) + frame["items"]
        elif frame["type"] == "part":
            items = frame.get("data", items)

    return items


async def test_part_of_the_requests_thread_is_made_again_in_one(
    application: Any,
) -> None:
    async with opened(application, "/request-thread/?live=1") as stream:
        first = await stream.hears_until("live")
        await apublish("thread")
        again = await stream.hears()

    assert first[1]["data"][0] == 1
    assert again["data"][0] == 2
    assert "partstream" not in again["data"][1]


async def test_expected_work_of_a_check_is_one_view_and_no_part(
    application: Any,
) -> None:
    async with opened(application, "/board/?live=1&parts=meta,static") as stream:
        await stream.hears_until("live")

    assert views.made == {"get_parts": 1, "static": 1}
