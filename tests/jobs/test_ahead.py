"""The next rows of a job are read in a thread while the database writes these."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from django_partstream.bulk.csv_blocks import CSVReader
from django_partstream.bulk.pipeline import Write
from django_partstream.jobs.ahead import Ahead
from django_partstream.jobs.execute import SliceEnd
from django_partstream.models import Job, State
from tests.app.models import Contract
from tests.jobs.conftest import Run

HERE = threading.main_thread().name
ROWS = 40


def threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]

    return [name for name in names if name.startswith("partstream-ahead")]


def test_what_was_not_begun_is_done_at_once() -> None:
    ahead = Ahead(lambda: threading.current_thread().name)

    assert ahead.take() == HERE
    assert threads() == []


def test_what_was_begun_is_done_once_in_another_thread() -> None:
    done: list[str] = []

    def do() -> int:
        done.append(threading.current_thread().name)

        return len(done)

    ahead = Ahead(do)
    ahead.begin()
    ahead.begin()

    assert ahead.take() == 1
    assert done[0].startswith("partstream-ahead")

    ahead.close()
    assert threads() == []


def test_errors_come_to_whoever_takes() -> None:
    def do() -> None:
        raise ValueError("the next rows cannot be read")

    ahead: Ahead[None] = Ahead(do)
    ahead.begin()

    with pytest.raises(ValueError, match="the next rows cannot be read"):
        ahead.take()

    ahead.close()


def submit(client: Client) -> Job:
    lines = ["number;year", *(f"C{number};{2000 + number}" for number in range(ROWS))]
    response = client.post(
        "/api/contracts/",
        "\n".join(lines),
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.content

    return Job.objects.get(pk=response.json()["task_id"])


@pytest.fixture
def few(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 10, "QUEUE": "database"}


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("few")
def test_rows_are_read_beside_the_writing_without_a_connection(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[bool, int, bool]] = []
    real = Write.read_ahead

    def read_ahead(self: Write, rows: Any) -> None:
        name = threading.current_thread().name
        real(self, rows)
        used = bool(connections.all(initialized_only=True))
        read.append((name == HERE, len(rows), used))

    job = submit(client)
    monkeypatch.setattr(Write, "read_ahead", read_ahead)

    assert run(job) is SliceEnd.FINISHED

    job.refresh_from_db()
    assert (job.state, job.created) == (State.SUCCESS, ROWS)
    assert Contract.objects.count() == ROWS
    # The first are waited for; then each block is read beside the one before it.
    assert read == [(True, 10, True), *[(False, 10, False)] * 3]
    assert threads() == []


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("few")
def test_slice_that_is_stopped_leaves_no_thread_and_the_next_goes_on(
    client: Client, run: Run
) -> None:
    job = submit(client)
    seen: list[int] = []

    end = run(
        job,
        on_change=lambda job: seen.append(job.current),
        stopping=lambda: seen[-1] >= 10,
    )

    assert end is SliceEnd.RELEASED
    assert threads() == []
    assert run(job) is SliceEnd.FINISHED
    assert Contract.objects.count() == ROWS


@pytest.mark.django_db(transaction=True)
def test_process_that_serves_reads_in_the_same_thread(
    client: Client, run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 10, "QUEUE": "embedded"}
    read: list[str] = []
    real = Write.read_ahead

    def read_ahead(self: Write, rows: Any) -> None:
        read.append(threading.current_thread().name)
        real(self, rows)

    job = submit(client)
    monkeypatch.setattr(Write, "read_ahead", read_ahead)

    assert run(job) is SliceEnd.FINISHED
    assert read == [HERE] * (ROWS // 10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("few")
def test_rows_that_cannot_be_read_are_no_fault_of_those_before(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CSVReader.take

    def take(self: CSVReader, count: int) -> Any:
        if self._at.row >= 20:
            raise MemoryError("of this test")

        return real(self, count)

    monkeypatch.setattr(CSVReader, "take", take)
    job = submit_unread(client, monkeypatch, real)

    run(job)

    job.refresh_from_db()
    assert Contract.objects.count() == 20
    assert (job.created, job.state) == (20, State.FAILURE)


def submit_unread(client: Client, monkeypatch: pytest.MonkeyPatch, real: Any) -> Job:
    with monkeypatch.context() as patch:
        patch.setattr(CSVReader, "take", real)

        return submit(client)
