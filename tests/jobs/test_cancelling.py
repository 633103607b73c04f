"""Cancelling: once it is answered no further row is written, whoever has the job."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from rest_framework.test import APIClient

from django_partstream.errors import BusyError
from django_partstream.jobs import cancelling, states
from django_partstream.jobs.execute import Pace, SliceEnd
from django_partstream.models import Job, JobCancel, State
from tests.jobs.conftest import Run
from tests.jobs.work import GroupWork, expected, make_job, written

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def fresh(job: Job) -> Job:
    return states.jobs().get(pk=job.pk)


class Holder:
    """A worker in a thread, in the middle of its second batch until it is let go."""

    def __init__(self, run: Run, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(GroupWork, "before", staticmethod(self._hold))
        self._pool = ThreadPoolExecutor(1)
        self._slice = self._pool.submit(self._run, run, job)
        assert self.inside.wait(60)

    def _hold(self, number: int) -> None:
        if number == 15:
            self.inside.set()
            assert self.go_on.wait(60)

    @staticmethod
    def _run(run: Run, job: Job) -> SliceEnd:
        try:
            return run(job, pace=Pace(commit=0.01, pause=0.05))
        finally:
            connections.close_all()

    def end(self) -> SliceEnd:
        self.go_on.set()
        end = self._slice.result(60)
        self._pool.shutdown()

        return end


def test_a_cancel_waits_for_the_batch_in_hand(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(2000)
    holder = Holder(run, job, monkeypatch)
    threading.Timer(0.3, holder.go_on.set).start()

    assert states.cancel(job.pk) is State.CANCELLED

    seen = written(job)
    assert seen == expected(fresh(job).current)
    assert holder.end() is SliceEnd.LOST
    assert written(job) == seen
    assert len(seen) < 1000
    assert fresh(job).state == State.CANCELLED


def test_a_batch_that_holds_on_is_left_word(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancelling, "CANCEL_SECONDS", 1.0)
    job = make_job(35)
    holder = Holder(run, job, monkeypatch)
    url = f"/api/operations/{job.pk}/status/"
    before = APIClient().get(url).json()["seq"]
    began = time.monotonic()

    response: Any = APIClient().delete(url)

    assert time.monotonic() - began < 20

    if connection.vendor == "sqlite":
        # Nobody can leave word where one writes at a time.
        assert response.status_code == 503
        assert response.json()["code"] == "busy"
        assert response["Retry-After"] == "1"
        holder.end()
        return

    assert response.status_code == 202
    assert response.json()["state"] == "CANCELLING"
    assert response.json()["status"] == "cancelling"
    assert response.json()["seq"] > before
    assert holder.end() is SliceEnd.LOST
    # The batch in hand was whole, and the last.
    assert written(job) == expected(20)
    assert fresh(job).state == State.CANCELLED
    ended = APIClient().get(url).json()
    assert ended["state"] == "CANCELLED"
    assert ended["seq"] > response.json()["seq"]
    assert not JobCancel.objects.exists()


def test_a_database_with_one_writer_says_that_it_is_busy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        return

    monkeypatch.setattr(cancelling, "CANCEL_SECONDS", 0.2)
    job = make_job(35)
    holder = Holder(run, job, monkeypatch)

    with pytest.raises(BusyError):
        states.cancel(job.pk)

    assert holder.end() is SliceEnd.FINISHED
    # Whoever else uses the connection waits as before.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20_000,)


def test_a_cancel_whose_worker_is_gone_is_done_by_the_sweeper() -> None:
    job, gone = make_job(35), make_job(35)
    states.claim(job.pk, "dead:1")

    for one in (job, gone):
        JobCancel.objects.create(job_id=one.pk)

    gone.delete()

    assert states.sweep_cancels() == 1

    assert fresh(job).state == State.CANCELLED
    assert not JobCancel.objects.exists()


def test_a_finished_job_stays_as_it_is(run: Run) -> None:
    job = make_job(5)
    run(job)
    before = fresh(job).seq

    response: Any = APIClient().delete(f"/api/operations/{job.pk}/status/")

    assert response.status_code == 200
    assert response.json()["state"] == "SUCCESS"
    assert fresh(job).seq == before
    assert states.cancel(job.pk) is None


def test_a_cancel_in_a_transaction_leaves_its_lock_timeout_alone() -> None:
    from django.db import transaction

    if connection.vendor != "postgresql":
        return

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        states.cancel(make_job(5).pk)
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)
