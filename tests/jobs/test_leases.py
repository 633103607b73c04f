"""Leases, turns and inputs: what others see of a job that somebody has in hand."""

from __future__ import annotations

import datetime
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.utils import timezone

from django_partstream.bulk_steps import BatchSize
from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, SliceEnd
from django_partstream.jobs.work import Budget
from django_partstream.models import Job, State
from tests.jobs.conftest import Run
from tests.jobs.work import GroupWork, expected, make_job, written

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def fresh(job: Job) -> Job:
    return states.jobs().get(pk=job.pk)


def whose_turn() -> Job:
    job_id = states.waiting()
    assert job_id is not None

    return states.jobs().get(pk=job_id)


def expire(job: Job) -> None:
    past = timezone.now() - datetime.timedelta(seconds=1)
    states.jobs().filter(pk=job.pk).update(lease_until=past)


def test_a_batch_longer_than_its_lease_is_not_taken_over(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not connection.features.has_select_for_update_skip_locked:
        # There its transaction keeps all other writers out.
        return

    job = make_job(35)
    inside, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 15:
            inside.set()
            assert go_on.wait(20)

    monkeypatch.setattr(GroupWork, "before", staticmethod(hold))

    def work() -> SliceEnd:
        try:
            return run(job)
        finally:
            connections.close_all()

    claims = states.jobs().filter(pk=job.pk)
    claims.update(lease_until=None)

    with ThreadPoolExecutor(1) as pool:
        # The first batch is committed with a lease that has run out by the second.
        original = states.after
        monkeypatch.setattr(states, "after", lambda seconds: original(-1.0))
        working = pool.submit(work)
        assert inside.wait(20)
        monkeypatch.setattr(states, "after", original)
        began = time.monotonic()

        assert fresh(job).lease_until < timezone.now()  # type: ignore[operator]
        assert states.waiting() is None
        assert states.due(10) == []
        assert states.claim(job.pk, "other:2") is None
        assert states.dispatch(job.pk, 0) is None
        assert states.sweep_cancels() == 0
        # And nobody has waited for it.
        assert time.monotonic() - began < 5
        go_on.set()
        assert working.result(20) is SliceEnd.FINISHED

    assert written(job) == expected(35)
    assert fresh(job).epoch == 1


def test_a_stopped_process_cannot_hold_locks_for_long() -> None:
    if connection.vendor != "postgresql":
        return

    seen: list[tuple[str, ...]] = []

    class Looking(GroupWork):
        def step(self, cursor: Any, budget: Budget) -> Any:
            with connection.cursor() as raw:
                raw.execute(
                    "SELECT current_setting('lock_timeout'),"
                    " current_setting('idle_in_transaction_session_timeout')"
                )
                seen.append(raw.fetchone())

            return super().step(cursor, budget)

    from django_partstream.jobs.committing import Rate, commit

    job = make_job(5)
    claimed = states.claim(job.pk, "test:1")
    assert claimed is not None
    work = Looking(claimed)
    budget = Budget.of(1.0)
    commit(
        claimed,
        lambda: work.step(claimed.cursor, budget),
        rate=Rate(),
        narrow=lambda rows: None,
    )

    assert seen == [("10s", "20s")]

    # Only in that transaction: a pooler gives the connection to others.
    with connection.cursor() as raw:
        raw.execute("SHOW lock_timeout")
        assert raw.fetchone() == ("0",)


def test_owners_take_turns_however_many_jobs_they_have(run: Run) -> None:
    users = get_user_model().objects
    ann, bob, eve = (users.create_user(name) for name in ("ann", "bob", "eve"))
    jobs = [make_job(35, owner=ann) for _ in range(4)]
    jobs += [make_job(35, owner=bob), make_job(35, owner=eve), make_job(35)]
    turns: list[str] = []

    for _ in range(9):
        job = whose_turn()
        turns.append(str(job.owner))
        run(job, pace=Pace(slice=0))

    assert sorted(turns[:4]) == ["None", "ann", "bob", "eve"]
    assert turns[4:8] == turns[:4]


def test_short_jobs_in_a_row_do_not_keep_others_waiting(run: Run) -> None:
    users = get_user_model().objects
    ann, bob = users.create_user("ann"), users.create_user("bob")
    short = [make_job(5, owner=ann) for _ in range(3)]
    long = make_job(35, owner=bob)
    order: list[Any] = []

    for _ in range(4):
        job = whose_turn()
        order.append(job.owner)
        run(job)

    assert order[:2] == [ann, bob]
    assert {fresh(job).state for job in (*short, long)} == {State.SUCCESS}


def test_a_long_slice_ends_when_somebody_else_waits(run: Run) -> None:
    users = get_user_model().objects
    mine = make_job(35, owner=users.create_user("ann"))
    pace = Pace(commit=0.01, turn=0.0)

    theirs = make_job(5, owner=users.create_user("bob"))
    assert run(mine, pace=pace) is SliceEnd.RELEASED
    run(theirs)
    assert run(mine, pace=pace) is SliceEnd.FINISHED


def test_batches_are_as_large_as_fit_a_commit(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 2000, "QUEUE": "database"}
    size = BatchSize(None)

    assert size.next(Budget.of(1.0), 0) == BatchSize.FIRST

    # A fifth of a second for a row.
    size.took(50, 10.0)
    assert size.next(Budget.of(1.0), 0) in (4, 5)

    size.took(5, 0.0005)
    assert size.next(Budget.of(1.0), 0) == 2000
    assert size.next(Budget.of(1.0, rows=40), 10) == 30


def test_batches_are_smaller_in_a_process_that_serves(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 2000, "QUEUE": "embedded"}
    size = BatchSize(1_000_000.0)

    assert size.next(Budget.of(1.0), 0) == BatchSize.SERVING < 2000
