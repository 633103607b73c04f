"""Whatever is done with jobs, in any order: after every step the tables are what a
model says, and in the end what one clean run would have made of them."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from django_partstream import retries
from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point, hooked
from django_partstream.jobs.execute import Pace, SliceEnd, run_slice
from django_partstream.models import Job, JobBatch, State
from tests.forms import count
from tests.jobs.work import GroupWork, make_job, written

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

DEADLY_MOMENTS = [
    Point.AFTER_CLAIM,
    Point.BEFORE_LOCK,
    Point.AFTER_LOCK,
    Point.WITHIN_STEP,
    Point.AFTER_STEP,
    Point.AFTER_RECORD,
    Point.AFTER_ADVANCE,
    Point.AFTER_COMMIT,
    Point.BEFORE_RELEASE,
    Point.AFTER_RELEASE,
]


class Killed(BaseException):
    """The process is no more."""


def raises(number: int) -> None:
    if number % 11 == 0:
        raise RuntimeError(f"row {number}")


@dataclasses.dataclass
class Known:
    """What is known of a job."""

    first: int
    last: int
    seq: int = 0
    #: Once it has ended: its state, and how far it came.
    end: tuple[str, int] | None = None


class Jobs(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Any, Known] = {}
        self.takeovers = 0

    @rule(target=jobs, total=st.integers(1, 45))
    def submit(self, total: int) -> Any:
        job = make_job(total)
        self.known[job.pk] = Known(1, total)

        return job.pk

    def slice(self, job_id: Any, batches: int = 1000) -> SliceEnd:
        seen: list[int] = []

        return run_slice(
            job_id,
            worker="test:1",
            pace=Pace(commit=0.0),
            stopping=lambda: len(seen) > batches,
            on_change=lambda job: seen.append(job.seq),
        )

    def expire(self, job_id: Any) -> None:
        past = timezone.now() - datetime.timedelta(seconds=1)
        row = states.jobs().filter(pk=job_id, lease_until__isnull=False)
        self.takeovers += row.update(lease_until=past)

    @rule(job_id=jobs, batches=st.integers(0, 4))
    def work(self, job_id: Any, batches: int) -> None:
        self.slice(job_id, batches)

    @rule(job_id=jobs, point=st.sampled_from(DEADLY_MOMENTS), after=st.integers(0, 3))
    def die(self, job_id: Any, point: Point, after: int) -> None:
        reached: list[Point] = []

        def kill(moment: Point) -> None:
            reached.extend([moment] * (moment is point))

            if len(reached) > after:
                raise Killed

        with hooked(kill):
            try:
                self.slice(job_id, after)
            except Killed:
                self.expire(job_id)

    @rule(
        job_id=jobs,
        batches=st.integers(0, 2),
        how=st.sampled_from(["fail", "release", "postpone", "begin"]),
    )
    def stand_still(self, job_id: Any, batches: int, how: str) -> None:
        """A worker wakes up after its lease, when another one has had its job: whatever
        it does with it changes nothing."""
        job = states.claim(job_id, "still:2")

        if job is None:
            return

        self.expire(job_id)
        self.slice(job_id, batches)
        moves = {
            "fail": lambda: states.fail(job, "too late", "late"),
            "release": lambda: states.release(job),
            "postpone": lambda: states.postpone(job, "too late"),
            "begin": lambda: states.begin(job),
        }
        before = states.jobs().values().get(pk=job_id)
        assert not moves[how]()
        assert states.jobs().values().get(pk=job_id) == before

    @rule(job_id=jobs)
    def cancel(self, job_id: Any) -> None:
        ended = State(states.jobs().get(pk=job_id).state).terminal

        assert (states.cancel(job_id) is State.CANCELLED) is not ended

    @rule()
    def sweep(self) -> None:
        for job_id, dispatches in states.due(10):
            assert states.dispatch(job_id, dispatches) is not None
            assert states.dispatch(job_id, dispatches) is None

        states.sweep_cancels()

    @rule(target=jobs, job_id=jobs)
    def retry(self, job_id: Any) -> Any:
        job = states.jobs().get(pk=job_id)

        if not State(job.state).terminal or job.current == job.total:
            return multiple()

        before = states.jobs().values().get(pk=job_id)
        again = retries.retry(job, "unprocessed")
        old = self.known[job_id]
        self.known[again.pk] = Known(old.first + job.current, old.last)
        assert states.jobs().values().get(pk=job_id) == before

        return again.pk

    @invariant()
    def the_tables_are_as_the_model_says(self) -> None:
        for job in states.jobs().filter(pk__in=self.known):
            self.check(job, self.known[job.pk])

    def check(self, job: Job, known: Known) -> None:
        come_to = known.first + job.current
        good = [n for n in range(known.first, come_to) if n % 7 and n % 11]
        assert written(job) == good
        assert job.created == len(good)
        assert job.created + job.failed == job.current <= job.total
        assert job.cursor.get("row", known.first - 1) == come_to - 1
        ledger = JobBatch.objects.filter(job=job).order_by("number")
        ends = [(batch.first_row, batch.last_row) for batch in ledger]
        assert [first for first, _ in ends] == [1, *(last + 1 for _, last in ends)][
            : len(ends)
        ]
        assert (ends[-1][1] if ends else 0) == job.current
        epochs = [batch.epoch for batch in ledger]
        assert epochs == sorted(epochs)
        assert job.seq >= known.seq
        known.seq = job.seq

        if known.end is not None:
            assert (job.state, job.current) == known.end
        elif State(job.state).terminal:
            known.end = job.state, job.current

    def teardown(self) -> None:
        """Whatever is left comes to its end."""
        try:
            for job_id, known in self.known.items():
                self.expire(job_id)
                states.jobs().filter(pk=job_id).update(not_before=None)
                self.slice(job_id)
                job = states.jobs().get(pk=job_id)
                self.check(job, known)
                whole = job.state == State.SUCCESS and job.current == job.total
                assert whole or job.state == State.CANCELLED
        finally:
            states.jobs().all().delete()
            Group.objects.all().delete()


@pytest.mark.timeout(count(120, 1800))
def test_jobs_are_what_the_model_says(
    monkeypatch: pytest.MonkeyPatch, settings_of_jobs: None
) -> None:
    monkeypatch.setattr(GroupWork, "before", staticmethod(raises))

    run_state_machine_as_test(
        Jobs,
        settings=settings(
            max_examples=count(12, 120),
            stateful_step_count=count(12, 40),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def settings_of_jobs(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 100}
    # A line for each row that raises.
    caplog.set_level("CRITICAL", "django_partstream")
