"""`manage.py partstream_worker` and each of its options, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from django_partstream.jobs import states
from django_partstream.jobs.bench import open_bench
from django_partstream.jobs.queue import GRACE_SECONDS
from django_partstream.jobs.sweeper import sweeping
from django_partstream.models import Worker
from tests.chaos.arena import LONG_LEASE, Arena

pytestmark = pytest.mark.chaos

EMBEDDED = {"QUEUE": "embedded"}


class BoxQueue:
    """A queue of twenty lines: the table's ids through a box in this process."""

    def __init__(self) -> None:
        self._box: queue.SimpleQueue[UUID] = queue.SimpleQueue()

    async def publish(self, job_id: UUID, message_id: str) -> None:
        self._box.put(job_id)

    async def ping(self) -> None:
        pass

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        yield

    async def work(
        self,
        stop: asyncio.Event,
        *,
        concurrency: int,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        async with sweeping(self), open_bench(stop, threads=concurrency) as bench:
            while not stop.is_set():
                with contextlib.suppress(queue.Empty):
                    await bench.work_on(self._box.get_nowait())

                await asyncio.sleep(0.01)


def test_another_queue_is_one_class(arena: Arena) -> None:
    job = arena.make_job()
    path = f"{BoxQueue.__module__}.{BoxQueue.__name__}"

    worker = arena.worker(partstream={"QUEUE": path})
    arena.wait(job)
    arena.stop([worker])

    arena.verify(job)
    assert f"queue {path}" in arena.logged()


def test_once_works_off_what_waits_and_ends(arena: Arena) -> None:
    jobs = [arena.make_job() for _ in range(3)]

    assert arena.end(arena.worker(partstream=EMBEDDED, options={"once": True})) == 0

    arena.verify(*jobs)


def test_a_queue_can_be_named_beside_the_one_of_the_settings(arena: Arena) -> None:
    job = arena.make_job()

    worker = arena.worker(partstream=EMBEDDED, options={"queue": "database"})
    arena.wait(job)
    arena.stop([worker])

    arena.verify(job)


def test_several_jobs_are_worked_on_side_by_side(postgresql_arena: Arena) -> None:
    arena = postgresql_arena
    jobs = [arena.make_job(60, seconds=0.005, crawls_at=6) for _ in range(3)]

    worker = arena.worker(options={"concurrency": 3})
    arena.until(lambda: all(0 < arena.fresh(job).current < 60 for job in jobs))
    arena.hurry()
    arena.wait(*jobs)
    arena.stop([worker])

    arena.verify(*jobs)


def test_a_batch_that_outlasts_the_grace_is_left_and_done_elsewhere(
    postgresql_arena: Arena, tmp_path: Path
) -> None:
    arena = postgresql_arena
    begun = tmp_path / "begun"
    # A batch of a minute, which is not waited for.
    job = arena.make_job(5, crawls_at=1, crawl_seconds=55.0, tells=str(begun))

    worker = arena.worker(options={"grace": 0.2}, partstream=LONG_LEASE)
    arena.until(begun.exists)
    arena.stop([worker])

    assert "did not end in 0.2 s and is left alone" in arena.logged()
    assert arena.fresh(job).current == 0
    # Its lease has run out.
    assert states.jobs().update(lease_until=states.after(-1.0)) == 1
    arena.hurry()
    worker = arena.worker()
    arena.wait(job)
    arena.stop([worker])
    arena.verify(job)


def test_check_tells_whether_a_worker_of_this_host_lives(arena: Arena) -> None:
    assert arena.end(arena.worker(options={"check": True})) == 1
    assert "was heard of lately" in arena.logged()

    # It is heard of in time, however late it gets a turn.
    partstream = {"SWEEP_SECONDS": 20.0}
    worker = arena.worker(partstream=partstream)
    arena.until(lambda: Worker.objects.exists())

    check = {"partstream": partstream, "options": {"check": True}}
    assert arena.end(arena.worker(**check)) == 0
    arena.stop([worker])
    assert arena.end(arena.worker(options={"check": True})) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "--concurrency is 0; expected at least 1."),
        ({"grace": -1.0}, "--grace is -1.0; expected seconds, 0 or more."),
        ({"queue": "arq"}, "The queue 'arq' needs PARTSTREAM['REDIS_URL']."),
        ({"queue": "no.such.Queue"}, "There is no queue 'no.such.Queue': "),
        ({"queue": "embedded"}, "start this one with --queue database."),
    ],
)
def test_what_cannot_work_is_said(
    postgresql_arena: Arena, options: dict[str, object], message: str
) -> None:
    assert postgresql_arena.end(postgresql_arena.worker(options=options)) == 1

    assert message in postgresql_arena.logged()
