"""Observers of parts, and the Prometheus metrics that one of them makes."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from django.test import AsyncRequestFactory
from prometheus_client import CollectorRegistry, generate_latest

from django_partstream import (
    PartEvent,
    ProgressiveView,
    cached_for,
    conf,
    lazy,
    observe,
    unobserve,
)
from django_partstream.contrib import prometheus
from django_partstream.parts.observer import mark_cached, notify, watch_cache
from django_partstream.stream_slots import slots

VIEW = "shop.views.Dashboard"


def event(kind, part="orders", **members):
    return PartEvent(kind=kind, view=VIEW, part=part, **members)


@pytest.fixture
def events():
    """What observers are told during a test."""
    told: list[Any] = []
    observe(told.append)
    yield told
    unobserve(told.append)


def test_observer_is_told_until_it_is_taken_out(events):
    notify(event("started"))
    unobserve(events.append)
    notify(event("finished", ms=1.0))

    assert events == [event("started")]


def test_observer_that_came_twice_is_told_once(events):
    observe(events.append)
    notify(event("started"))

    assert events == [event("started")]


def test_taking_out_what_never_came_does_nothing(events):
    unobserve(lambda happened: None)
    notify(event("started"))

    assert events == [event("started")]


def test_observe_is_a_decorator():
    told: list[Any] = []

    @observe
    def remember(happened):
        told.append(happened.part)

    notify(event("started"))
    unobserve(remember)

    assert told == ["orders"]


def test_observer_that_raises_is_logged_and_the_next_is_told(caplog):
    told: list[Any] = []

    @observe
    def fails(happened):
        raise ValueError("no room")

    observe(told.append)
    notify(event("started"))
    unobserve(fails)
    unobserve(told.append)

    assert told == [event("started")]
    assert [record.message for record in caplog.records] == [
        "an observer of parts failed"
    ]


def test_observer_that_takes_itself_out_hides_nothing_from_the_next():
    told: list[Any] = []

    @observe
    def once(happened):
        unobserve(once)
        told.append("once")

    observe(told.append)
    notify(event("started"))
    notify(event("cancelled", ms=2.0))
    unobserve(told.append)

    assert told == ["once", event("started"), event("cancelled", ms=2.0)]


async def coroutine(happened):
    pass


@pytest.mark.parametrize("observer", [coroutine, "print"])
def test_observer_that_cannot_be_called_at_once_is_refused(observer):
    with pytest.raises(TypeError) as caught:
        observe(observer)

    assert str(caught.value) == (
        f"observe({observer!r}): expected a plain function of one event. It is called "
        "between two steps of the loop and cannot wait; let it put the event on a "
        "queue that something else reads."
    )


def test_cache_marks_belong_to_the_innermost_part():
    mark_cached()

    with watch_cache() as outer:
        with watch_cache() as inner:
            mark_cached()

        assert inner
        assert not outer


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    enabled = prometheus.enable(registry, names_per_view=2)
    yield enabled
    unobserve(enabled)


def parts_total(registry, part, outcome):
    return registry.get_sample_value(
        "partstream_parts_total", {"view": VIEW, "part": part, "outcome": outcome}
    )


def test_parts_are_counted_by_how_they_ended(registry, metrics):
    for happened in (
        event("finished", ms=20.0),
        event("finished", ms=0.1, cached=True),
        event("failed", ms=3.0, code="unencodable"),
        event("cancelled", ms=9.0),
        event("finished", ms=30.0),
    ):
        notify(event("started"))
        notify(happened)

    notify(event("started"))

    assert parts_total(registry, "orders", "ok") == 2
    assert parts_total(registry, "orders", "cached") == 1
    assert parts_total(registry, "orders", "unencodable") == 1
    assert parts_total(registry, "orders", "cancelled") == 1
    assert registry.get_sample_value("partstream_parts_running", {"view": VIEW}) == 1


def test_work_is_measured_in_seconds_and_cancelled_parts_are_not(registry, metrics):
    notify(event("finished", ms=20.0))
    notify(event("failed", ms=480.0, code="failed"))
    notify(event("cancelled", ms=9000.0))
    labels = {"view": VIEW, "part": "orders"}

    assert registry.get_sample_value("partstream_part_seconds_sum", labels) == 0.5
    assert registry.get_sample_value("partstream_part_seconds_count", labels) == 2
    assert (
        registry.get_sample_value(
            "partstream_part_seconds_bucket", {**labels, "le": "0.025"}
        )
        == 1
    )


def test_names_from_data_do_not_become_labels_without_end(registry, metrics):
    for number in range(1000):
        notify(event("finished", part=f"order-{number}", ms=1.0))

    notify(event("finished", part="order-1", ms=1.0))

    assert parts_total(registry, "order-0", "ok") == 1
    assert parts_total(registry, "order-1", "ok") == 2
    assert parts_total(registry, "order-2", "ok") is None
    assert parts_total(registry, prometheus.OTHER, "ok") == 998


def test_what_the_process_holds_is_read_at_the_scrape(registry, metrics):
    def value(name):
        return registry.get_sample_value(f"partstream_{name}")

    # Streams that a test before has dropped.
    gc.collect()
    before = value("streams_open")
    slot = slots.take("somebody", 10)

    assert value("streams_open") == before + 1

    slot.give_back()

    assert value("streams_open") == before
    assert value("threads_most") == conf.current().threads
    assert value("hub_followers") == 0
    assert value("hub_unpublished_total") >= 0
    assert "# HELP partstream_threads Threads for sync parts\n" in (
        generate_latest(registry).decode()
    )


def test_enabling_twice_in_one_registry_is_refused(registry, metrics):
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        prometheus.enable(registry)


class Shop(ProgressiveView):
    """Parts that end in every way."""

    def get_parts(self):
        return [
            ("there", 1),
            ("cached", lazy(cached_for(60)(lambda: 2))),
            ("raises", lazy(self.raises)),
            ("slow", lazy(self.never, timeout=0.01)),
            ("never", lazy(self.never)),
        ]

    def raises(self):
        raise RuntimeError("no")

    async def never(self):
        await asyncio.Event().wait()


async def test_a_stream_tells_how_each_part_ended(registry, metrics, events):
    request = AsyncRequestFactory().get("/", headers={"Accept": "application/x-ndjson"})

    for _ in range(2):
        response = await Shop.as_view()(request)
        stream = aiter(response)
        text = b""

        # All but the one that never ends.
        while text.count(b'"type":"part"') + text.count(b'"type":"error"') < 4:
            text += await anext(stream)

        await stream.aclose()
        response.close()

    view = f"{Shop.__module__}.{Shop.__qualname__}"
    started = {told.part for told in events if told.kind == "started"}
    ended = [told for told in events[len(events) // 2 :] if told.kind != "started"]

    assert {told.view for told in events} == {view}
    assert started == {"there", "cached", "raises", "slow", "never"}
    assert {(told.part, told.kind, told.cached, told.code) for told in ended} == {
        ("there", "finished", False, None),
        ("cached", "finished", True, None),
        ("raises", "failed", False, "failed"),
        ("slow", "failed", False, "timeout"),
        ("never", "cancelled", False, None),
    }
    assert all(told.ms > 0 for told in ended)
    assert registry.get_sample_value("partstream_parts_running", {"view": view}) == 0


async def test_the_times_in_frames_are_those_that_observers_are_told(events):
    request = AsyncRequestFactory().get(
        "/?parts=there,raises,slow", headers={"Accept": "application/x-ndjson"}
    )
    response = await Shop.as_view()(request)
    text = b"".join([piece async for piece in response])
    frames = [json.loads(line) for line in text.splitlines()]
    response.close()

    told = {event.part: event.ms for event in events if event.kind != "started"}
    sent = {frame["name"]: frame["ms"] for frame in frames if "ms" in frame}

    assert sent == told
    assert set(sent) == {"there", "raises", "slow"}
    assert sent["slow"] >= 10
