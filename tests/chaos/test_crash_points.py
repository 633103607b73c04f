"""`kill -9` at every named moment: what is done is done once, whatever dies where."""

from __future__ import annotations

from typing import Any

import pytest

from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point
from django_partstream.models import JobInput, State
from tests.chaos.arena import LONG_LEASE, Arena
from tests.chaos.work import KIND
from tests.forms import count

pytestmark = pytest.mark.chaos

#: Reached by whoever submits; at the first two nothing is committed yet.
SUBMITTING = (
    Point.ROW_WRITTEN,
    Point.INPUT_WRITTEN,
    Point.SUBMITTED,
    Point.BEFORE_DISPATCH,
    Point.AFTER_DISPATCH,
    Point.BEFORE_PUBLISH,
    Point.AFTER_PUBLISH,
)
RELEASING = (Point.BEFORE_RELEASE, Point.AFTER_RELEASE)
FAILING = (Point.BEFORE_FAIL, Point.AFTER_FAIL)
CANCELLING = (Point.BEFORE_CANCEL, Point.AFTER_CANCEL)
SPECIAL = {*SUBMITTING, *RELEASING, *FAILING, *CANCELLING}

WORKING = [point for point in Point if point not in SPECIAL]
#: The lease is not taken yet, or the job's last commit gave it back.
WITHOUT_LEASE = {Point.BEFORE_CLAIM}


def test_a_worker_killed_at_any_moment_of_a_batch_is_taken_over(arena: Arena) -> None:
    victims = []
    jobs = {}

    for point in WORKING:
        for nth in range(1, count(1, 3) + 1):
            if point in (Point.BEFORE_CLAIM, Point.AFTER_CLAIM) and nth > 1:
                continue

            job = jobs[point, nth] = arena.make_job(23)
            crash = {"point": point, "nth": nth, "how": "kill"}
            victims.append(arena.start("slice", job=str(job.pk), crash=crash))

    for key, victim in zip(jobs, victims, strict=True):
        assert arena.end(victim) == -9, (key, arena.logged())

    rescuers = [arena.worker(partstream=LONG_LEASE) for _ in range(2)]
    arena.wait(*jobs.values())
    arena.stop(rescuers)

    arena.verify(*jobs.values())

    for (point, _), job in jobs.items():
        assert arena.takeovers(job) == (point not in WITHOUT_LEASE), point


@pytest.mark.parametrize("point", RELEASING)
def test_a_worker_killed_while_it_gives_a_job_back(arena: Arena, point: Point) -> None:
    job = arena.make_job(23)
    crash = {"point": point, "how": "kill"}
    victim = arena.start("slice", job=str(job.pk), batches=2, crash=crash)
    assert arena.end(victim) == -9
    assert 0 < arena.fresh(job).current < 23

    rescuer = arena.worker(partstream=LONG_LEASE)
    arena.wait(job)
    arena.stop([rescuer])

    arena.verify(job)
    assert arena.takeovers(job) == (point is Point.BEFORE_RELEASE)


def test_a_submission_killed_at_any_moment_leaves_a_job_or_nothing(
    arena: Arena,
) -> None:
    for point in SUBMITTING:
        crash = {"point": point, "how": "kill"}
        victim = arena.start("submit", spec={"at": point}, total=23, crash=crash)
        assert arena.end(victim) == -9, (point, arena.logged())

    submitted = {job.spec["at"]: job for job in states.jobs().filter(kind=KIND)}
    assert list(submitted) == [] or set(submitted) == set(SUBMITTING[2:])
    assert set(submitted) == set(SUBMITTING[2:])
    assert JobInput.objects.count() == len(submitted)

    for job in submitted.values():
        arena.set_counters(job)

    rescuer = arena.worker(partstream=LONG_LEASE)
    arena.wait(*submitted.values())
    arena.stop([rescuer])

    arena.verify(*submitted.values())


@pytest.mark.parametrize("point", FAILING)
def test_a_worker_killed_while_it_gives_a_job_up(arena: Arena, point: Point) -> None:
    job = arena.make_job(23, refused=True)
    crash = {"point": point, "how": "kill"}
    victim = arena.start("slice", job=str(job.pk), crash=crash)
    assert arena.end(victim) == -9

    rescuer = arena.worker(partstream=LONG_LEASE)
    arena.wait(job)
    arena.stop([rescuer])

    assert arena.fresh(job).state == State.FAILURE
    assert arena.effects(job) == []


@pytest.mark.parametrize("point", CANCELLING)
def test_a_process_killed_while_it_cancels(arena: Arena, point: Point) -> None:
    job = arena.make_job(23)
    victim = arena.start(
        "cancel", job=str(job.pk), crash={"point": point, "how": "kill"}
    )
    assert arena.end(victim) == -9

    rescuer = arena.worker(partstream=LONG_LEASE)
    arena.wait(job)
    arena.stop([rescuer])

    if point is Point.BEFORE_CANCEL:
        arena.verify(job)
    else:
        assert arena.fresh(job).state == State.CANCELLED
        assert arena.effects(job) == []


def test_every_point_has_its_victim() -> None:
    tested: list[Any] = [*WORKING, *SUBMITTING, *RELEASING, *FAILING, *CANCELLING]

    assert sorted(tested) == sorted(Point)
