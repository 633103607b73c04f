"""Observers of jobs, and the `job_id` of what is logged about one."""

from __future__ import annotations

import ast
import datetime
import logging
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from django_partstream import JobEvent, observe_jobs, offload, unobserve_jobs
from django_partstream.jobs import states, submit, sweeper
from django_partstream.jobs.execute import SliceEnd
from django_partstream.jobs.observer import notify
from django_partstream.jobs.work import Tally
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, GroupWork, make_job

JOBS = Path(states.__file__).parent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def events():
    """What observers are told during a test."""
    told: list[JobEvent] = []
    observe_jobs(told.append)
    yield told
    unobserve_jobs(told.append)


def happened(events: list[JobEvent], kind: str) -> list[JobEvent]:
    return [event for event in events if event.kind == kind]


def test_a_slice_tells_that_it_began_of_each_commit_and_how_it_ended(
    run: Run, events: list[JobEvent]
) -> None:
    job = make_job(25)

    run(job)

    assert [event.kind for event in events] == [
        "claimed",
        "committed",
        "committed",
        "committed",
        "ended",
    ]
    assert {event.job_id for event in events} == {job.pk}
    assert events[0] == JobEvent(kind="claimed", job_id=job.pk, work=KIND)
    assert [event.tally for event in happened(events, "committed")] == [
        Tally(created=9, failed=1),
        Tally(created=9, failed=1),
        Tally(created=4, failed=1),
    ]
    assert all(
        event.seconds is not None and 0 < event.seconds < 10
        for event in happened(events, "committed")
    )
    assert events[-1].end == "finished"


def test_a_job_whose_lease_ran_out_is_taken_over(
    run: Run, events: list[JobEvent]
) -> None:
    job = make_job(5)
    states.claim(job.pk, "dead:1")
    states.jobs().update(lease_until=timezone.now() - datetime.timedelta(seconds=1))

    run(job)

    assert [event.takeover for event in happened(events, "claimed")] == [False, True]


def test_a_job_that_was_given_back_is_not_taken_over(
    run: Run, events: list[JobEvent]
) -> None:
    job = make_job(25)

    run(job, stopping=lambda: True)
    run(job)

    assert [event.takeover for event in happened(events, "claimed")] == [False, False]
    assert [event.end for event in happened(events, "ended")] == [
        "released",
        "finished",
    ]


def test_a_slice_that_got_no_job_tells_nothing(
    run: Run, events: list[JobEvent]
) -> None:
    job = make_job(5)
    run(job)
    events.clear()

    assert run(job) is SliceEnd.NOT_CLAIMED
    assert events == []


def test_an_observer_that_raises_harms_no_job(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    @observe_jobs
    def fails(event: JobEvent) -> None:
        raise ValueError("no room")

    job = make_job(5)
    end = run(job)
    unobserve_jobs(fails)

    assert end is SliceEnd.FINISHED
    assert {record.message for record in caplog.records} == {
        "an observer of jobs failed"
    }


def test_an_observer_is_told_once_until_it_is_taken_out() -> None:
    told: list[Any] = []
    event = JobEvent(kind="claimed", job_id=make_job(1).pk)
    observe_jobs(told.append)
    observe_jobs(told.append)
    notify(event)
    unobserve_jobs(told.append)
    notify(event)

    assert told == [event]


async def coroutine(event: JobEvent) -> None:
    pass


@pytest.mark.parametrize("observer", [coroutine, "print"])
def test_an_observer_that_cannot_be_called_at_once_is_refused(observer: Any) -> None:
    with pytest.raises(TypeError) as caught:
        observe_jobs(observer)

    assert str(caught.value) == (
        f"observe_jobs({observer!r}): expected a plain function of one event. It is "
        "called in the thread of the job and cannot be awaited; let it put the event "
        "on a queue that something else reads."
    )


class Unreachable:
    """A queue that takes nothing."""

    async def publish(self, job_id: Any, message_id: str) -> None:
        raise ConnectionError("no queue here")


async def test_what_the_queue_did_not_take_is_told(
    monkeypatch: pytest.MonkeyPatch, events: list[JobEvent]
) -> None:
    queue: Any = Unreachable()
    monkeypatch.setattr(submit, "get_queue", lambda: queue)
    job = await offload.run_sync(
        lambda: submit.submit(kind=KIND, owner=None, spec={}, total=1)
    )
    assert happened(events, "unpublished") == [
        JobEvent(kind="unpublished", job_id=job.pk)
    ]

    with pytest.raises(ConnectionError):
        await sweeper.hand_out(queue, job.pk, 1)

    assert len(happened(events, "unpublished")) == 2


def lose_the_lease(number: int) -> None:
    states.jobs().update(epoch=99)


def lose_the_database(number: int) -> None:
    raise OperationalError("server closed the connection unexpectedly")


def refuse(number: int) -> None:
    raise ValueError(f"row {number}")


@pytest.mark.parametrize("before", [lose_the_lease, lose_the_database, refuse])
def test_whatever_is_logged_about_a_job_has_its_id(
    before: Any,
    run: Run,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # So long a database that is away is borne.
    settings.PARTSTREAM = {"LEASE_SECONDS": 0.5}
    monkeypatch.setattr(GroupWork, "before", staticmethod(before))
    job = make_job(5)

    with caplog.at_level(logging.DEBUG, "django_partstream"):
        run(job)

    records = [record for record in caplog.records if str(job.pk) in record.message]
    assert records
    assert {getattr(record, "job_id", None) for record in records} == {str(job.pk)}


def test_a_job_that_could_not_be_handed_out_is_logged_with_its_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(submit, "get_queue", Unreachable)

    job = submit.submit(kind=KIND, owner=None, spec={}, total=1)

    [record] = caplog.records
    assert record.message == f"job {job.pk}: not handed out yet"
    assert vars(record)["job_id"] == str(job.pk)


def logging_calls() -> list[tuple[str, ast.Call]]:
    """Whatever the package logs about a job, by where."""
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in sorted(JOBS.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("logger.")
        and ast.unparse(node.args[0]).startswith("'job %s")
    ]


def test_every_line_about_a_job_is_logged_with_its_id() -> None:
    found = logging_calls()
    without = [
        where
        for where, call in found
        if "extra" not in {keyword.arg for keyword in call.keywords}
    ]

    assert len(found) > 5
    assert without == []
