"""Workers that die, stand still or have a wrong clock, at any moment."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from django_partstream import conf
from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point
from tests.chaos.arena import LONG_LEASE, RESCUE_SECONDS, Arena, watching
from tests.forms import LONG, count

pytestmark = pytest.mark.chaos


def unfinished(*jobs: object) -> int:
    return states.jobs().filter(state__in=states.UNFINISHED).count()


def test_workers_killed_at_random_moments(arena: Arena) -> None:
    kills = count(10, 200)
    jobs = [arena.make_job(60, seconds=0.003) for _ in range(4)]
    workers = [arena.worker() for _ in range(3)]

    def moved() -> int:
        return sum(job.batches for job in states.jobs())

    def stuck() -> bool:
        return states.jobs().filter(attempts__gt=1).exists()

    with watching(jobs):
        for number in range(kills):
            # On a busy machine a kill every moment lets nobody get anywhere, and the
            # rows would be blamed.
            before = moved()
            arena.until(lambda before=before: moved() > before or not unfinished())
            arena.until(lambda: not stuck())
            time.sleep(arena.random.uniform(0.0, 0.3))

            while unfinished() < 4:
                jobs.append(arena.make_job(60, seconds=0.003))

            if number % 5:
                arena.kill(workers.pop(arena.random.randrange(3)))
            else:
                arena.kill_at_work(workers)

            workers.append(arena.worker())

        arena.wait(*jobs)

    arena.stop(workers)
    arena.verify(*jobs)
    assert arena.takeovers() >= kills / 10
    arena.note(f"{kills} kills", jobs)


def test_a_killed_worker_is_replaced_within_lease_and_sweep(arena: Arena) -> None:
    job = arena.make_job(200, seconds=0.005, crawls_at=25)
    workers = [arena.worker() for _ in range(3)]

    def holder() -> int | None:
        claims = [event for event in arena.history() if event["kind"] == "claimed"]

        return claims[-1]["pid"] if claims else None

    arena.until(lambda: arena.fresh(job).current > 20)
    victim = next(worker for worker in workers if worker.pid == holder())
    began = time.monotonic()
    workers.remove(victim)
    arena.kill(victim)
    arena.until(lambda: holder() != victim.pid)

    # The lease and one look at the table.
    assert time.monotonic() - began < RESCUE_SECONDS
    arena.hurry()
    arena.wait(job)
    arena.stop(workers)
    arena.verify(job)
    assert arena.takeovers() >= 1


@pytest.mark.skipif(not LONG, reason="takes a minute")
def test_a_killed_worker_is_replaced_within_half_a_minute_by_default(
    arena: Arena,
) -> None:
    defaults = conf.Settings()
    partstream = {
        "LEASE_SECONDS": defaults.lease_seconds,
        "SWEEP_SECONDS": defaults.sweep_seconds,
    }
    job = arena.make_job(500, seconds=0.01)
    workers = [arena.worker(partstream=partstream) for _ in range(2)]
    arena.until(lambda: arena.fresh(job).current > 20)
    pid = arena.fresh(job).worker.split(":")[1]
    victim = next(worker for worker in workers if str(worker.pid) == pid)
    workers.remove(victim)

    arena.kill(victim)
    arena.wait(job)
    arena.stop(workers)

    arena.verify(job)
    [rescued] = arena.rescues()
    assert rescued < 30
    arena.note("a kill under default settings", [job])


def test_workers_whose_event_loops_are_blocked_for_longer_than_a_lease(
    postgresql_arena: Arena,
) -> None:
    arena = postgresql_arena
    blocked = {"QUEUE": "tests.chaos.quick.BlockedQueue"}
    jobs = [arena.make_job(count(120, 600), seconds=0.005) for _ in range(count(1, 3))]

    with watching(jobs):
        workers = [arena.worker(partstream=blocked) for _ in range(2)]
        arena.wait(*jobs)

    arena.stop(workers)
    arena.verify(*jobs)
    # Their threads went on working, and with each commit renewed the lease.
    assert min(arena.rescues(), default=1.0) > 0.8


def moments(arena: Arena) -> list[Point]:
    outside = [Point.AFTER_CLAIM, Point.BEFORE_LOCK, Point.AFTER_COMMIT]
    within = [Point.AFTER_LOCK, Point.WITHIN_STEP, Point.AFTER_ADVANCE]

    # On SQLite a transaction that stands still holds up every writer of the file.
    return outside if arena.kind == "sqlite" else [*outside, *within]


def test_a_worker_that_stood_still_past_its_lease_writes_nothing_more(
    arena: Arena,
) -> None:
    frozen = {}

    for point in moments(arena):
        job = arena.make_job(23)
        nth = 1 if point is Point.AFTER_CLAIM else 2
        crash = {"point": point, "nth": nth, "how": "stop"}
        frozen[job] = arena.start("slice", job=str(job.pk), crash=crash)

    for victim in frozen.values():
        arena.until(victim.stopped)

    rescuers = [arena.worker(partstream=LONG_LEASE) for _ in range(2)]
    arena.wait(*frozen)
    arena.verify(*frozen)
    before = {job: arena.fresh(job).seq for job in frozen}

    for victim in frozen.values():
        victim.send(signal.SIGCONT)

    for victim in frozen.values():
        assert arena.end(victim) == 0, arena.logged()

    arena.stop(rescuers)
    arena.verify(*frozen)
    assert {job: arena.fresh(job).seq for job in frozen} == before
    assert arena.takeovers(*frozen) == len(frozen)


def test_workers_whose_clocks_are_hours_apart(arena: Arena) -> None:
    jobs = [
        arena.make_job(120, seconds=0.003, crawls_at=40) for _ in range(count(2, 6))
    ]
    skews = itertools.cycle([3600.0, -3600.0, 0.0])
    workers = [arena.worker(skew=next(skews)) for _ in range(3)]
    kills = count(3, 30)

    with watching(jobs):
        for _ in range(kills):
            time.sleep(arena.random.uniform(0.0, 0.3))
            arena.kill_at_work(workers)
            workers.append(arena.worker(skew=next(skews)))

        arena.hurry()
        arena.wait(*jobs)

    arena.stop(workers)
    arena.verify(*jobs)
    arena.note(f"{kills} kills, clocks up to two hours apart", jobs)
    # A lease of somebody who lives is taken by nobody, whatever the clocks say.
    assert arena.takeovers() >= 1
    assert min(arena.rescues()) > 0.8


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_eight_jobs_on_one_to_four_workers(
    postgresql_arena: Arena, tmp_path: Path, workers: int
) -> None:
    arena = postgresql_arena
    # Nobody ends a batch before each worker has begun one; a lease outlasts that.
    spec: dict[str, Any] = {
        "seconds": 0.001,
        "meets": str(tmp_path),
        "workers": workers,
    }
    jobs = [arena.make_job(count(21, 350), **spec) for _ in range(8)]

    with watching(jobs):
        started = [arena.worker(partstream=LONG_LEASE) for _ in range(workers)]
        arena.wait(*jobs)

    arena.stop(started)
    arena.verify(*jobs)
    assert arena.takeovers() == 0
    working = {e["pid"] for e in arena.history() if e["kind"] == "committed"}
    assert working == {worker.pid for worker in started}


def test_being_stopped_repeats_nothing_and_counts_as_no_attempt(
    arena: Arena,
) -> None:
    job = arena.make_job(300, seconds=0.002, crawls_at=50)

    for number in range(count(4, 10)):
        worker = arena.worker(partstream=LONG_LEASE)
        arena.until(lambda number=number: arena.fresh(job).current > 5 * number)
        arena.stop([worker])
        assert arena.fresh(job).attempts == 0
        assert arena.fresh(job).lease_until is None

    assert arena.fresh(job).current < 300
    arena.hurry()
    worker = arena.worker(partstream=LONG_LEASE)
    arena.wait(job)
    arena.stop([worker])
    arena.verify(job)
    assert arena.takeovers() == 0
