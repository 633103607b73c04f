"""The queues: embedded, database and arq, each doing real work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from arq.worker import Worker
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from django_partstream.jobs import arq_queue, observer, states, submit, sweeper
from django_partstream.jobs.database_queue import DatabaseQueue
from django_partstream.jobs.embedded_queue import EmbeddedQueue
from django_partstream.jobs.queue import Queue, get_queue
from django_partstream.models import Job, State
from tests.jobs.work import KIND, GroupWork, expected, make_job, written

pytestmark = pytest.mark.django_db(transaction=True)


async def ended(job: Job, *, seconds: float = 30) -> Job:
    """The job when it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            now: Job = await sync_to_async(states.jobs().get)(pk=job.pk)

            if State(now.state).terminal:
                return now

            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def working(queue: Queue, *, concurrency: int = 1) -> AsyncIterator[None]:
    stop = asyncio.Event()
    worker = asyncio.create_task(queue.work(stop, concurrency=concurrency))

    try:
        yield
    finally:
        stop.set()
        await worker


async def test_the_embedded_queue_works_while_it_runs() -> None:
    queue = EmbeddedQueue()

    async with queue.run():
        job = await sync_to_async(make_job)(35)
        await queue.publish(job.pk, "1")
        job = await ended(job)

    assert job.state == State.SUCCESS
    assert await sync_to_async(written)(job) == expected(35)


async def test_a_waiting_job_is_found_at_start() -> None:
    job = await sync_to_async(make_job)(5)

    async with EmbeddedQueue().run():
        assert (await ended(job)).state == State.SUCCESS


async def test_stopping_ends_the_batch_in_hand_and_gives_the_job_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        GroupWork,
        "before",
        staticmethod(lambda number: loop.call_soon_threadsafe(begun.set)),
    )
    job = await sync_to_async(make_job)(10_000)

    async with EmbeddedQueue().run():
        await begun.wait()

    job = await sync_to_async(states.jobs().get)(pk=job.pk)
    assert job.state == State.PROGRESS
    assert job.lease_until is None
    assert job.attempts == 0
    assert 0 < job.current < 10_000
    assert len(await sync_to_async(written)(job)) == job.created


async def test_several_workers_share_the_table() -> None:
    jobs = [await sync_to_async(make_job)(35) for _ in range(4)]

    async with working(DatabaseQueue(), concurrency=2):
        for job in jobs:
            await ended(job)

    for job in jobs:
        assert await sync_to_async(written)(job) == expected(35)


async def test_a_job_that_nobody_was_told_of_is_swept_up_once() -> None:
    job = await sync_to_async(make_job)(5)

    class Told(EmbeddedQueue):
        async def publish(self, job_id: UUID, message_id: str) -> None:
            told.append((job_id, message_id))

    told: list[tuple[UUID, str]] = []

    assert await sweeper.sweep(Told()) == 1
    assert await sweeper.sweep(Told()) == 0
    assert told == [(job.pk, f"{job.pk}:0:1")]


async def test_arq_workers_work(settings: Any, redis_url: str) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_url}

    async with working(get_queue()):
        job = await sync_to_async(submit.submit)(
            kind=KIND, owner=None, spec={}, total=35
        )
        job = await ended(job)

    assert job.state == State.SUCCESS
    assert await sync_to_async(written)(job) == expected(35)


async def test_an_arq_worker_that_loses_a_cancellation_ends_all_the_same(
    settings: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose connection breaks at that moment."""
    settings.PARTSTREAM = {"REDIS_URL": redis_url}
    monkeypatch.setattr(arq_queue, "CANCEL_AGAIN_SECONDS", 0.01)
    polling, lost = asyncio.Event(), asyncio.Event()

    async def main(worker: Worker) -> None:
        polling.set()

        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()

        await asyncio.Event().wait()

    monkeypatch.setattr(Worker, "main", main)

    async with asyncio.timeout(30), working(get_queue()):
        await polling.wait()

    assert lost.is_set()


async def test_owners_take_turns_on_arq_whatever_came_first(
    settings: Any, redis_url: str
) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_url}
    queue = get_queue()
    users = get_user_model().objects
    order: list[UUID] = []

    def look(event: observer.JobEvent) -> None:
        if event.kind == "claimed":
            order.append(event.job_id)

    def make() -> tuple[list[Job], Job]:
        ann, bob = users.create_user("ann"), users.create_user("bob")

        return [make_job(5, owner=ann) for _ in range(3)], make_job(5, owner=bob)

    anns, bobs = await sync_to_async(make)()

    for job in (*anns, bobs):
        await sweeper.hand_out(queue, job.pk, 0)

    observer.observe_jobs(look)

    try:
        async with working(queue):
            for job in (*anns, bobs):
                assert (await ended(job)).state == State.SUCCESS
    finally:
        observer.unobserve_jobs(look)

    # His message was the last.
    assert order[1] == bobs.pk
    assert order == [anns[0].pk, bobs.pk, anns[1].pk, anns[2].pk]


async def test_the_same_message_many_times_does_the_work_once(
    settings: Any, redis_url: str
) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_url}
    queue = get_queue()
    job = await sync_to_async(make_job)(35)

    async with working(queue, concurrency=4):
        for number in range(20):
            await queue.publish(job.pk, f"copy-{number}")

        job = await ended(job)

    assert await sync_to_async(written)(job) == expected(35)
    assert job.failed == 5


async def test_with_redis_down_a_job_is_accepted_and_done_later(
    settings: Any, redis_server: Any
) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_server.url, "SWEEP_SECONDS": 0.2}

    redis_server.kill()
    job = await sync_to_async(submit.submit)(kind=KIND, owner=None, spec={}, total=35)
    assert await sync_to_async(states.due)(10) == [(job.pk, 1)]

    async with working(get_queue()):
        redis_server.restart()
        job = await ended(job)

    assert await sync_to_async(written)(job) == expected(35)
