"""A slice of a job: exactly once, whatever happens around it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError
from django.utils import timezone

from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, SliceEnd
from django_partstream.models import Job, JobBatch, State
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, STUBBORN, GroupWork, expected, make_job, written

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def fresh(job: Job) -> Job:
    return states.jobs().get(pk=job.pk)


def test_a_job_runs_to_its_end(run: Run) -> None:
    job = make_job(35)
    seen: list[tuple[int, int]] = []

    end = run(job, on_change=lambda job: seen.append((job.seq, job.current)))

    job = fresh(job)
    assert end is SliceEnd.FINISHED
    assert job.state == State.SUCCESS
    assert written(job) == expected(35)
    assert (job.current, job.created, job.failed, job.batches) == (35, 30, 5, 4)
    assert job.lease_until is None
    assert job.finished_at is not None
    assert seen == [(2, 0), (4, 10), (6, 20), (8, 30), (10, 35)]


def test_the_ledger_tells_every_row(run: Run) -> None:
    job = make_job(35)
    run(job)

    ledger = JobBatch.objects.filter(job=job).values_list(
        "number", "first_row", "last_row", "created", "failed"
    )

    assert [*ledger] == [
        (1, 1, 10, 9, 1),
        (2, 11, 20, 9, 1),
        (3, 21, 30, 8, 2),
        (4, 31, 35, 4, 1),
    ]


def test_the_first_failures_and_ids_are_at_hand(run: Run) -> None:
    job = make_job(35)
    run(job)

    sample = fresh(job).sample

    assert [error["row"] for error in sample["errors"]] == [7, 14, 21, 28, 35]
    assert len(sample["created_ids"]) == 30


def test_a_batch_that_raises_leaves_nothing_and_the_rows_before_stay(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(number: int) -> None:
        if number == 16:
            raise RuntimeError("secret of the application")

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    job = make_job(35, kind=STUBBORN)

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert job.state == State.FAILURE
    assert written(job) == expected(10)
    assert job.current == 10
    assert job.message == (
        "The job failed after row 10: an error of the application, which is in its "
        "log. The rows before are written."
    )
    assert "secret of the application" in caplog.text


def test_a_worker_whose_lease_was_taken_writes_nothing_more(run: Run) -> None:
    job = make_job(35)
    others: list[Job | None] = []

    def take_over(changed: Job) -> None:
        if changed.current == 20 and not others:
            past = timezone.now() - datetime.timedelta(seconds=1)
            states.jobs().filter(pk=job.pk).update(lease_until=past)
            others.append(states.claim(job.pk, "other:2"))

    assert run(job, on_change=take_over) is SliceEnd.LOST
    assert written(job) == expected(20)
    assert others[0] is not None
    assert fresh(job).worker == "other:2"


def test_the_next_worker_goes_on_where_the_last_commit_ended(run: Run) -> None:
    job = make_job(35)

    def die(changed: Job) -> None:
        if changed.current == 20:
            raise SystemExit

    with pytest.raises(SystemExit):
        run(job, on_change=die)

    assert run(job) is SliceEnd.NOT_CLAIMED
    past = timezone.now() - datetime.timedelta(seconds=1)
    states.jobs().filter(pk=job.pk).update(lease_until=past)
    assert run(job, worker="test:2") is SliceEnd.FINISHED
    job = fresh(job)
    assert written(job) == expected(35)
    assert (job.epoch, job.batches) == (2, 4)


def test_a_cancelled_job_gets_no_further_row(run: Run) -> None:
    job = make_job(35)

    def cancel(changed: Job) -> None:
        if changed.current == 10:
            assert states.cancel(job.pk)

    assert run(job, on_change=cancel) is SliceEnd.LOST
    assert written(job) == expected(10)
    assert fresh(job).state == State.CANCELLED
    assert run(job) is SliceEnd.NOT_CLAIMED


def test_cancelling_a_finished_job_changes_nothing(run: Run) -> None:
    job = make_job(5)
    run(job)

    assert not states.cancel(job.pk)
    assert fresh(job).state == State.SUCCESS


def test_a_slice_ends_when_its_time_is_up_and_another_goes_on(run: Run) -> None:
    job = make_job(35)
    ends = [SliceEnd.RELEASED]
    batches = 0

    while ends[-1] is SliceEnd.RELEASED:
        before = fresh(job).batches

        def look(job: Job) -> None:
            nonlocal batches
            batches = job.batches

        ends.append(
            run(
                job,
                stopping=lambda before=before: batches > before,
                on_change=look,
            )
        )

    job = fresh(job)
    assert ends[-1] is SliceEnd.FINISHED
    assert len(ends) == 5
    assert job.attempts == 0
    assert written(job) == expected(35)


def test_a_slice_without_time_gives_the_job_back(run: Run) -> None:
    job = make_job(35)

    assert run(job, pace=Pace(slice=0)) is SliceEnd.RELEASED

    assert fresh(job).lease_until is None
    assert states.waiting() == job.pk


def test_a_database_that_fails_is_no_failure_of_the_job(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.PARTSTREAM = {"LEASE_SECONDS": 0.2}

    def fail(number: int) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    job = make_job(35)

    assert run(job) is SliceEnd.INTERRUPTED

    job = fresh(job)
    assert job.state == State.PROGRESS
    assert written(job) == []
    # Nobody died, and whoever comes next need not wait.
    assert (job.attempts, job.lease_until) == (0, None)


def test_a_job_that_kills_every_worker_is_given_up(run: Run) -> None:
    job = make_job(35)
    states.jobs().filter(pk=job.pk).update(attempts=states.MAX_ATTEMPTS)

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert job.state == State.FAILURE
    assert job.message == (
        "The job was given up at row 1: 10 workers in a row ended there without "
        "getting any further."
    )


def test_work_of_an_unknown_kind_waits_for_a_worker_that_knows_it(run: Run) -> None:
    job = states.jobs().create(kind="unheard_of", total=1)

    assert run(job) is SliceEnd.POSTPONED

    job = fresh(job)
    assert job.state == State.PENDING
    assert job.message == (
        "The job waits for a worker that knows work of kind 'unheard_of'; the one that "
        "took it last does not."
    )
    assert states.waiting() is None
    assert run(job) is SliceEnd.NOT_CLAIMED
    states.jobs().update(not_before=states.after(-1.0), kind=KIND)
    assert run(job) is SliceEnd.FINISHED
    assert fresh(job).message == ""


def test_one_claim_at_a_time() -> None:
    job = make_job()

    first = states.claim(job.pk, "test:1")

    assert first is not None
    assert first.epoch == 1
    assert states.claim(job.pk, "test:2") is None


def test_what_is_due_is_handed_out_once() -> None:
    job = make_job()
    assert states.due(10) == [(job.pk, 0)]

    assert states.dispatch(job.pk, 0) == f"{job.pk}:0:1"

    assert states.dispatch(job.pk, 0) is None
    assert states.due(10) == []


def test_a_lost_message_and_a_lost_worker_are_due_again() -> None:
    lost_message, lost_worker = make_job(), make_job()
    long_ago = timezone.now() - datetime.timedelta(seconds=60)
    for job in (lost_message, lost_worker):
        states.dispatch(job.pk, 0)

    states.jobs().filter(pk=lost_message.pk).update(dispatched_at=long_ago)
    states.claim(lost_worker.pk, "test:1")
    assert {job_id for job_id, _ in states.due(10)} == {lost_message.pk}

    states.jobs().filter(pk=lost_worker.pk).update(
        lease_until=timezone.now() - datetime.timedelta(seconds=1),
        dispatched_at=timezone.now() - datetime.timedelta(seconds=5),
    )
    assert {job_id for job_id, _ in states.due(10)} == {lost_message.pk, lost_worker.pk}


def test_jobs_take_turns(run: Run) -> None:
    first, second = make_job(), make_job()
    order: list[Any] = []

    for _ in range(4):
        job_id = states.waiting()
        assert job_id is not None
        order.append(job_id)
        run(states.jobs().get(pk=job_id), pace=Pace(slice=0))

    assert order == [first.pk, second.pk, first.pk, second.pk]


def test_the_effect_of_a_row_done_twice_would_show(run: Run) -> None:
    job = make_job(5)
    Group.objects.create(name=f"{job.pk}-3")

    run(job)

    job = fresh(job)
    assert (job.created, job.failed) == (4, 1)
    assert job.sample["errors"][0]["errors"][0]["code"] == "poison"
