"""Workers that say that they live."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone

from django_partstream import offload
from django_partstream.jobs import heartbeat, states
from django_partstream.jobs.embedded_queue import EmbeddedQueue
from django_partstream.models import Worker
from tests.jobs.work import make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def often(settings: Any) -> None:
    settings.PARTSTREAM = {"SWEEP_SECONDS": 0.05}


async def until(ready: Callable[[Worker], bool]) -> Worker:
    """The only worker, as soon as it is as it should be."""
    async with asyncio.timeout(20):
        while True:
            worker: Worker | None = await offload.run_sync(Worker.objects.first)

            if worker is not None and ready(worker):
                return worker

            await asyncio.sleep(0.01)


async def test_a_worker_has_a_row_while_it_works_and_none_afterwards() -> None:
    async with EmbeddedQueue().run():
        first = await until(lambda worker: True)
        later = await until(lambda worker: worker.seen_at > first.seen_at)

    assert first.queue == "embedded"
    assert later.started_at == first.started_at <= first.seen_at
    assert not await offload.run_sync(Worker.objects.exists)


async def test_it_says_what_it_has_counted() -> None:
    async with EmbeddedQueue().run():
        await offload.run_sync(make_job, 35)
        worker = await until(lambda worker: worker.counts["rows"] == 35)

    assert worker.counts == {
        "slices": 1,
        "takeovers": 0,
        "lost_leases": 0,
        "batches": 4,
        "rows": 35,
        "poison_rows": 0,
        "publish_failures": 0,
    }


async def test_takeovers_are_counted() -> None:
    job = await offload.run_sync(make_job, 5)
    await offload.run_sync(states.claim, job.pk, "dead:1")
    past = timezone.now() - datetime.timedelta(hours=1)
    await offload.run_sync(states.jobs().update, lease_until=past)

    async with EmbeddedQueue().run():
        worker = await until(lambda worker: worker.counts["rows"] == 5)

    assert (worker.counts["slices"], worker.counts["takeovers"]) == (1, 1)


def make_worker(name: str, seconds_ago: float) -> None:
    seen = states.after(-seconds_ago)
    Worker.objects.create(name=name, queue="database", started_at=seen, seen_at=seen)


def test_alive_is_who_was_heard_of_within_three_sweeps(settings: Any) -> None:
    settings.PARTSTREAM = {"SWEEP_SECONDS": 100.0}
    make_worker("late", 310)
    make_worker("fresh", 200)

    assert [worker.name for worker in heartbeat.alive()] == ["fresh"]


async def test_dead_workers_are_shown_for_an_hour() -> None:
    await offload.run_sync(make_worker, "yesterday", 86_400)
    await offload.run_sync(make_worker, "lately", 1800)

    yesterday = Worker.objects.filter(name="yesterday")

    async with heartbeat.beating("me"):
        async with asyncio.timeout(20):
            while await offload.run_sync(yesterday.exists):
                await asyncio.sleep(0.01)

    names = Worker.objects.values_list("name", flat=True)
    assert await offload.run_sync(list, names) == ["lately"]


async def test_a_database_that_is_away_for_a_while_ends_no_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beat, failures = heartbeat._beat, iter(range(2))

    def fail_twice(*arguments: Any) -> None:
        if next(failures, None) is not None:
            raise OperationalError("the database is starting up")

        beat(*arguments)

    monkeypatch.setattr(heartbeat, "_beat", fail_twice)

    async with heartbeat.beating("me"):
        worker = await until(lambda worker: True)

    assert worker.name == "me"
    assert (
        caplog.messages
        == ["worker me: OperationalError: the database is starting up"] * 2
    )


def test_time_is_the_databases(settings: Any) -> None:
    """The lease and the beat compare with `Now()`, whatever the worker's clock says."""
    settings.PARTSTREAM = {"SWEEP_SECONDS": 100.0}
    make_worker("fresh", 0)
    Worker.objects.update(seen_at=F("seen_at") - datetime.timedelta(seconds=200))

    assert heartbeat.alive().count() == 1

    Worker.objects.update(seen_at=F("seen_at") - datetime.timedelta(seconds=101))

    assert heartbeat.alive().count() == 0
