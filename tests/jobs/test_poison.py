"""Rows that raise, and rows that end the process: found, left out, and told of."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from django_partstream.jobs import observer, states
from django_partstream.jobs.crash_points import Point, hooked
from django_partstream.jobs.execute import SliceEnd
from django_partstream.models import Job, State
from tests.app.models import Contract
from tests.app.serializers import ContractSerializer
from tests.jobs.conftest import Run
from tests.jobs.work import STUBBORN, GroupWork, expected, make_job, written

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

RAISES = (
    "This row could not be processed: it raises an error of the application, which is "
    "in its log. It was left out."
)
DEADLY = (
    "This row could not be processed: it ends the worker's process. It was left out."
)


@pytest.fixture(autouse=True)
def small_batches(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 100, "LEASE_SECONDS": 0.5}


def fresh(job: Job) -> Job:
    return states.jobs().get(pk=job.pk)


def die(job: Job) -> None:
    """As a process that is killed: its lease runs out."""
    past = timezone.now() - datetime.timedelta(seconds=1)
    states.jobs().filter(pk=job.pk, lease_until__isnull=False).update(lease_until=past)


def poisons(job: Job) -> dict[int, str]:
    return {
        error["row"]: error["error"]
        for error in fresh(job).sample["errors"]
        if error["errors"][0]["code"] == "poison"
    }


def test_rows_that_raise_are_left_out_and_the_others_written(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(number: int) -> None:
        if number in (1, 16, 17, 240):
            raise RuntimeError(f"secret of the application, row {number}")

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    monkeypatch.setattr(GroupWork, "rows_per_step", 100)
    job = make_job(240)

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert job.state == State.SUCCESS
    assert written(job) == [
        number for number in expected(240) if number not in (1, 16, 17, 240)
    ]
    assert poisons(job) == dict.fromkeys((1, 16, 17, 240), RAISES)
    assert (job.current, job.created + job.failed) == (240, 240)
    assert "secret of the application, row 16" in caplog.text
    assert "secret" not in str(job.sample)


def test_memory_that_runs_out_is_an_error_of_a_row(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        if number == 5:
            raise MemoryError

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    job = make_job(10)

    run(job)

    assert poisons(job) == {5: RAISES}


def test_when_every_row_raises_it_is_not_the_rows(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        if number > 20:
            raise RuntimeError("no such table")

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    job = make_job(35)

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert job.state == State.FAILURE
    assert written(job) == expected(20)
    assert job.message == (
        "The job failed after row 30: 10 rows in a row could not be processed, because "
        "of errors of the application, which are in its log. They are among the failed "
        "rows, and the rows after them are unprocessed: when the application is "
        "mended, retry the one and send the other again."
    )
    assert job.code == "poison_everywhere"


def test_a_hook_that_is_broken_loses_no_row(
    run: Run, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    """Each row is written, or can be had for another try: the ten that showed that it
    is the hook are failed, what comes after them was not touched."""
    before = ContractSerializer.validate

    def broken(self: Any, attrs: Any) -> Any:
        if attrs["number"] > "C020":
            raise KeyError("no such setting")

        return before(self, attrs)

    rows = [{"number": f"C{number:03}", "year": 2024} for number in range(1, 301)]
    response: Any = client.post(
        "/api/contracts/",
        json.dumps(rows),
        content_type="application/json",
        headers={"Prefer": "respond-async"},
    )
    job = states.jobs().get(pk=response.json()["task_id"])
    monkeypatch.setattr(ContractSerializer, "validate", broken)

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert (job.state, job.code) == (State.FAILURE, "poison_everywhere")
    assert (job.created, job.failed, job.current) == (20, 10, 30)
    assert Contract.objects.count() == 20

    def numbers(outcome: str) -> list[int]:
        url = f"/api/operations/{job.pk}/results/"
        answer: Any = client.get(url, {"outcome": outcome})

        return [json.loads(line)["row"] for line in b"".join(answer).splitlines()]

    assert numbers("successful") == list(range(1, 21))
    assert numbers("failed") == list(range(21, 31))
    assert numbers("unprocessed") == list(range(31, 301))
    # The hook is mended.
    monkeypatch.setattr(ContractSerializer, "validate", before)
    again: Any = client.post(f"/api/operations/{job.pk}/retry/")
    retry = states.jobs().get(pk=again.json()["task_id"])
    assert run(retry) is SliceEnd.FINISHED
    assert Contract.objects.count() == 30


def test_a_database_that_is_away_for_a_moment_costs_no_row(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[int] = []

    def fail(number: int) -> None:
        if number == 13 and len(times) < 3:
            times.append(number)
            raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(GroupWork, "before", staticmethod(fail))
    job = make_job(35)

    assert run(job) is SliceEnd.FINISHED

    assert times == [13, 13, 13]
    assert written(job) == expected(35)
    job = fresh(job)
    assert (job.attempts, job.epoch) == (0, 1)


class Killed(BaseException):
    """The process is no more."""


def run_until_it_ends(run: Run, job: Job, *, deaths: int) -> int:
    """Let worker after worker die of it; how many did."""
    for count in range(deaths + 1):
        die(job)

        try:
            end = run(job, worker=f"test:{count}")
        except Killed:
            continue

        assert end is SliceEnd.FINISHED or State(fresh(job).state).terminal
        return count

    raise AssertionError(f"more than {deaths} workers died")


def test_a_row_that_ends_processes_is_found_by_a_few_deaths(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(number: int) -> None:
        if number == 137:
            raise Killed

    monkeypatch.setattr(GroupWork, "before", staticmethod(kill))
    monkeypatch.setattr(GroupWork, "rows_per_step", 100)
    seen: list[str] = []
    job = make_job(300)

    def look(event: observer.JobEvent) -> None:
        seen.append(event.kind)

    observer.observe_jobs(look)

    try:
        deaths = run_until_it_ends(run, job, deaths=8)
    finally:
        observer.unobserve_jobs(look)

    job = fresh(job)
    assert job.state == State.SUCCESS
    assert poisons(job) == {137: DEADLY}
    assert written(job) == [number for number in expected(300) if number != 137]
    assert deaths <= 7
    assert seen.count("poisoned") == 1
    assert (job.attempts, job.begun, job.narrowed_to) == (0, 0, None)


def test_two_rows_that_end_processes_are_both_found(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(number: int) -> None:
        if number in (1, 2):
            raise Killed

    monkeypatch.setattr(GroupWork, "before", staticmethod(kill))
    job = make_job(40)

    run_until_it_ends(run, job, deaths=12)

    assert poisons(job) == {1: DEADLY, 2: DEADLY}
    assert written(job) == [n for n in expected(40) if n > 2]


@pytest.mark.parametrize("point", [Point.AFTER_CLAIM, Point.AFTER_COMMIT])
def test_deaths_between_batches_blame_no_row(run: Run, point: Point) -> None:
    job = make_job(35)
    deaths = 0

    def kill(reached: Point) -> None:
        nonlocal deaths

        if reached is point and deaths < 9:
            deaths += 1
            raise Killed

    with hooked(kill):
        run_until_it_ends(run, job, deaths=9)

    assert deaths >= 4
    assert poisons(job) == {}
    assert written(job) == expected(35)


def test_deploys_blame_no_row(run: Run) -> None:
    job = make_job(35)
    ends = []

    while not State(fresh(job).state).terminal:
        before = fresh(job).batches
        ends.append(run(job, stopping=lambda n=before: fresh(job).batches > n))

    assert ends == [SliceEnd.RELEASED] * 3 + [SliceEnd.FINISHED]
    assert written(job) == expected(35)
    assert fresh(job).attempts == 0


def test_work_that_cannot_leave_a_row_out_is_given_up_there(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(number: int) -> None:
        if number == 16:
            raise Killed

    monkeypatch.setattr(GroupWork, "before", staticmethod(kill))
    job = make_job(35, kind=STUBBORN)

    run_until_it_ends(run, job, deaths=12)

    job = fresh(job)
    assert job.state == State.FAILURE
    assert "row 16" in job.message or "row 11" in job.message
    assert set(written(job)) <= set(expected(15))


def test_a_job_is_stopped_by_the_row_that_fails_too_often(run: Run) -> None:
    job = make_job(35, spec={"max_errors": 2})

    assert run(job) is SliceEnd.FINISHED

    job = fresh(job)
    assert job.state == State.FAILURE
    assert (job.current, job.failed) == (21, 3)
    assert written(job) == expected(21)
    assert job.message == (
        "The job was stopped after 21 rows: 3 rows have failed, and max_errors allows "
        "2. The others of these are written; 14 rows were not processed."
    )


def test_a_job_with_as_many_failures_as_may_be_ends_well(run: Run) -> None:
    job = make_job(35, spec={"max_errors": 5})

    run(job)

    assert fresh(job).state == State.SUCCESS
