"""The seam at which tests end processes: every point is there, in order."""

from __future__ import annotations

import pytest

from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point, hooked, reached
from django_partstream.jobs.execute import Pace
from django_partstream.models import State
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_the_points_of_a_job_come_in_their_order(run: Run) -> None:
    seen: list[Point] = []
    job = make_job(2)

    with hooked(seen.append):
        run(job)

    assert seen == [
        Point.BEFORE_CLAIM,
        Point.AFTER_CLAIM,
        Point.BEFORE_LOCK,
        Point.AFTER_LOCK,
        Point.WITHIN_STEP,
        Point.AFTER_STEP,
        Point.AFTER_RECORD,
        Point.AFTER_ADVANCE,
        Point.AFTER_COMMIT,
    ]


def test_a_job_that_dies_anywhere_before_its_commit_is_as_it_was(run: Run) -> None:
    for point in (
        Point.AFTER_CLAIM,
        Point.AFTER_LOCK,
        Point.WITHIN_STEP,
        Point.AFTER_STEP,
        Point.AFTER_RECORD,
        Point.AFTER_ADVANCE,
    ):
        job = make_job(6)

        def die(reached: Point, point: Point = point) -> None:
            if reached is point:
                raise SystemExit

        with hooked(die), pytest.raises(SystemExit):
            run(job)

        job = states.jobs().get(pk=job.pk)
        assert (job.state, job.current, job.batches) == (State.PROGRESS, 0, 0), point


def test_release_failure_cancel_and_dispatch_have_points(run: Run) -> None:
    seen: list[Point] = []

    with hooked(seen.append):
        run(make_job(2), pace=Pace(slice=0))
        run(states.jobs().create(kind=KIND, total=1, attempts=states.MAX_ATTEMPTS))
        states.cancel(make_job(2).pk)
        states.dispatch(make_job(2).pk, 0)

    assert [point for point in seen if "claim" not in point] == [
        Point.BEFORE_RELEASE,
        Point.AFTER_RELEASE,
        Point.BEFORE_FAIL,
        Point.AFTER_FAIL,
        Point.BEFORE_CANCEL,
        Point.AFTER_CANCEL,
        Point.BEFORE_DISPATCH,
        Point.AFTER_DISPATCH,
    ]


def test_nobody_is_told_when_the_scope_has_ended() -> None:
    seen: list[Point] = []

    with hooked(seen.append):
        reached(Point.AFTER_CLAIM)

    reached(Point.AFTER_COMMIT)

    assert seen == [Point.AFTER_CLAIM]
