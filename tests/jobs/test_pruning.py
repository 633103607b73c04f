"""What is kept of finished jobs, and for how long."""

from __future__ import annotations

import asyncio
import datetime
import io
import os
import time
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from django_partstream.jobs import pruning, sweeper
from django_partstream.jobs.database_queue import DatabaseQueue
from django_partstream.jobs.submit import submit
from django_partstream.models import Job, JobBatch, JobInput, State
from tests.app.models import Contract
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

DAY = 86400


def finished(state: State = State.SUCCESS, *, days: float, **fields: Any) -> Job:
    ago = timezone.now() - datetime.timedelta(days=days)

    return make_job(state=state, finished_at=ago, **fields)


def left() -> set[Any]:
    return {*Job.objects.values_list("pk", flat=True)}


def command(**options: Any) -> str:
    out = io.StringIO()
    call_command("partstream_prune", stdout=out, **options)

    return out.getvalue()


def test_a_finished_job_is_kept_for_its_time() -> None:
    kept = finished(days=6.9)
    finished(days=7.1)
    running = make_job(state=State.PROGRESS)
    waiting = make_job()

    assert command() == "Deleted 1 jobs and 0 inputs without a job.\n"
    assert left() == {kept.pk, running.pk, waiting.pk}


def test_each_state_may_have_a_time_of_its_own(settings: Any) -> None:
    settings.PARTSTREAM = {
        "RESULT_TTL_SECONDS": {"SUCCESS": DAY, "FAILURE": 3 * DAY, "CANCELLED": 9 * DAY}
    }
    jobs = [
        finished(state, days=2)
        for state in (State.SUCCESS, State.FAILURE, State.CANCELLED)
    ]

    assert pruning.prune() == 1
    assert left() == {job.pk for job in jobs[1:]}


def test_it_goes_with_its_input_and_its_ledger_and_its_retries_stay(run: Run) -> None:
    job = submit(kind=KIND, owner=None, spec={}, total=7, stream=io.BytesIO(b"x" * 99))
    run(job)
    assert JobInput.objects.exists()
    assert JobBatch.objects.exists()
    old = timezone.now() - datetime.timedelta(days=8)
    Job.objects.update(finished_at=old)
    retry = make_job(retry_of=job)

    assert pruning.prune() == 1

    retry.refresh_from_db()
    assert (left(), retry.retry_of_id) == ({retry.pk}, None)
    assert not JobInput.objects.exists()
    assert not JobBatch.objects.exists()


def test_a_dry_run_deletes_nothing() -> None:
    finished(days=8)

    assert command(dry_run=True) == "Would delete 1 jobs and 0 inputs without a job.\n"
    assert len(left()) == 1


def test_the_oldest_go_first_and_no_more_than_wanted() -> None:
    jobs = [finished(days=days) for days in (8, 10, 9)]

    assert command(limit=2) == "Deleted 2 jobs and 0 inputs without a job.\n"
    assert left() == {jobs[0].pk}


async def test_whoever_sweeps_prunes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    await sync_to_async(finished)(days=8)
    monkeypatch.setattr(sweeper, "PRUNE_SECONDS", 0.01)

    async with sweeper.sweeping(DatabaseQueue()), asyncio.timeout(60):
        while await sync_to_async(left)():
            await asyncio.sleep(0.01)

    await sync_to_async(connections.close_all)()


# In a storage


@pytest.fixture
def vault(settings: Any, tmp_path: Path) -> Any:
    settings.STORAGES = {
        **settings.STORAGES,
        "vault": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "vault"},
        },
    }
    settings.PARTSTREAM = {"INPUT_STORAGE": "vault"}

    return storages["vault"]


def age(storage: Any, name: str, *, days: float) -> None:
    at = time.time() - days * DAY
    os.utime(storage.path(name), (at, at))


def test_the_input_in_a_storage_goes_too(vault: Any) -> None:
    job = submit(kind=KIND, owner=None, spec={}, total=0, stream=io.BytesIO(b"x"))
    assert vault.exists(job.input_name)
    Job.objects.update(
        state=State.SUCCESS, finished_at=timezone.now() - datetime.timedelta(days=8)
    )

    assert pruning.prune() == 1

    assert not vault.exists(job.input_name)


def test_an_input_without_a_job_goes_when_no_request_can_still_hold_it(
    vault: Any,
) -> None:
    job = submit(kind=KIND, owner=None, spec={}, total=0, stream=io.BytesIO(b"x"))
    names = [
        vault.save(f"partstream-inputs/{name}", ContentFile(b"x"))
        for name in ("old", "new")
    ]
    age(vault, names[0], days=1.1)
    age(vault, job.input_name, days=30)

    assert pruning.prune_strays(dry_run=True) == 1
    assert command() == "Deleted 0 jobs and 1 inputs without a job.\n"

    assert [vault.exists(name) for name in (*names, job.input_name)] == [
        False,
        True,
        True,
    ]


def test_nothing_else_is_touched() -> None:
    Contract.objects.create(number="C1", year=2024)
    finished(days=8)

    pruning.prune()

    assert Contract.objects.count() == 1
