"""Inputs that lie in the database: what was changed there is not worked on."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from django_partstream.jobs import inputs, states
from django_partstream.jobs.execute import Pace, SliceEnd
from django_partstream.models import Job, JobInput, State
from tests.app.models import Contract
from tests.jobs.conftest import Run

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LINES = ["number,year\n", *(f"C{number:03},2024\n" for number in range(1, 31))]
#: Twelve rows.
PIECE = 120


@pytest.fixture
def job(client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Job:
    """Of thirty rows in three pieces, whose first batch is done."""
    monkeypatch.setattr(inputs, "PIECE_BYTES", PIECE)
    settings.PARTSTREAM = {"BATCH_SIZE": 5}
    response = client.post(
        "/api/contracts/",
        "".join(LINES),
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )

    return states.jobs().get(pk=response.json()["task_id"])


def one_batch(run: Run, job: Job) -> None:
    batches: list[int] = []
    end = run(
        job,
        pace=Pace(commit=0.0),
        stopping=lambda: bool(batches),
        on_change=lambda job: batches.extend([job.batches] if job.batches else []),
    )
    assert end is SliceEnd.RELEASED


def replaced(piece: JobInput) -> None:
    piece.data = zlib.compress(zlib.decompress(piece.data).replace(b"2024", b"2025"))
    piece.save()


def damaged(piece: JobInput) -> None:
    data = bytearray(piece.data)
    data[-3] ^= 1
    piece.data = bytes(data)
    piece.save()


CHANGED = "The input of this job was changed in the database, at or after byte 240."
NOT_WHOLE = "The input of this job is no longer whole."


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(replaced, CHANGED), (damaged, CHANGED), (JobInput.delete, NOT_WHOLE)],
)
def test_of_an_input_that_was_spoilt_nothing_more_is_written(
    run: Run, job: Job, spoil: Callable[[JobInput], Any], message: str, client: Client
) -> None:
    one_batch(run, job)
    pieces = list(JobInput.objects.filter(job=job).order_by("start"))
    assert [piece.start for piece in pieces] == [0, 120, 240]
    spoil(pieces[-1])

    assert run(job) is SliceEnd.FINISHED

    job.refresh_from_db()
    assert (job.state, job.message) == (State.FAILURE, f"{message} Send it again.")
    shown = client.get(f"/api/operations/{job.pk}/status/").json()
    assert (shown["state"], shown["code"]) == ("FAILURE", "input_changed")
    # Rows of sound pieces, and what is counted is written.
    written = sorted(Contract.objects.values_list("number", "year"))
    assert written == [(f"C{n:03}", 2024) for n in range(1, job.current + 1)]
    assert 0 < len(written) == job.created < 24


def test_an_input_that_was_exchanged_for_a_shorter_one_is_no_success(
    run: Run, job: Job
) -> None:
    """By somebody who has set right all that tells of it, but the number of rows."""
    short = "".join(LINES[:3]).encode()
    JobInput.objects.filter(job=job).delete()
    JobInput.objects.create(
        job=job,
        start=0,
        size=len(short),
        sha256=hashlib.sha256(short).hexdigest(),
        data=zlib.compress(short),
    )
    states.jobs().filter(pk=job.pk).update(input_bytes=len(short))

    run(job)

    job.refresh_from_db()
    assert (job.state, job.current, job.code) == (State.FAILURE, 0, "input_changed")
    assert job.message == (
        "The input of this job ended after row 2; when it was sent, after row 30. Send "
        "it again."
    )
