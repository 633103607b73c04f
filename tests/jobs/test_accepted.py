"""What an accepted job's request waits for, and where its input lies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection, connections
from django.test import AsyncClient, Client

from django_partstream.jobs import states
from django_partstream.jobs.database_queue import DatabaseQueue
from django_partstream.models import Job, JobInput, State
from tests.app.models import Contract
from tests.jobs.test_following import a_black_hole
from tests.jobs.test_submission import ADDRESS, ROWS, post, run

pytestmark = pytest.mark.django_db(transaction=True)


@contextlib.contextmanager
def a_worker() -> Iterator[None]:
    """A thread that works on whatever job comes."""
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.wait(0.01):
                if (job_id := states.waiting()) is not None:
                    run(job_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)

        try:
            yield
        finally:
            stop.set()
            working.result()


# Waiting


def test_a_job_that_ends_in_time_is_answered_with_its_outcome(client: Client) -> None:
    with a_worker():
        response = post(client, Prefer="respond-async, wait=20")

    assert response.status_code == 200
    assert response["Preference-Applied"] == "respond-async, wait=20"
    assert response["Content-Location"] == response.json()["status_url"]
    assert "Location" not in response
    assert response.json()["state"] == "SUCCESS"
    assert response.json()["result"]["created_count"] == 2


def test_one_that_outlasts_it_is_accepted(client: Client, settings: Any) -> None:
    settings.PARTSTREAM = {"MAX_WAIT_SECONDS": 0.1}

    response = post(client, Prefer="respond-async, wait=1")

    assert response.status_code == 202
    assert response["Preference-Applied"] == "respond-async, wait=1"
    assert response["Location"] == response.json()["status_url"]


def test_waiting_is_outside_the_requests_transaction(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    with a_worker():
        response = post(client, Prefer="respond-async, wait=20")

    assert response.json()["state"] == "SUCCESS"


def test_nobody_waits_longer_than_the_server_likes(
    client: Client, settings: Any
) -> None:
    settings.PARTSTREAM = {"MAX_WAIT_SECONDS": 0.05}

    assert post(client, Prefer="respond-async, wait=3600").status_code == 202


async def test_under_asgi_no_thread_waits(async_client: AsyncClient) -> None:
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(DatabaseQueue().work(stop, concurrency=1))

        response = await async_client.post(
            ADDRESS,
            json.dumps(ROWS),
            content_type="application/json",
            headers={"Prefer": "respond-async, wait=20"},
        )
        stop.set()

    assert response.status_code == 200
    assert response.json()["state"] == "SUCCESS"
    # The test client leaves the request's thread its connection.
    await sync_to_async(connections.close_all)()


# Inputs


@pytest.fixture
def vault(settings: Any, tmp_path: Path) -> Path:
    settings.STORAGES = {
        **settings.STORAGES,
        "vault": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "vault"},
        },
    }
    settings.PARTSTREAM = {"INPUT_STORAGE": "vault"}

    return tmp_path / "vault"


def test_the_input_may_lie_in_a_storage(client: Client, vault: Path) -> None:
    job = Job.objects.get(pk=post(client).json()["task_id"])

    assert not JobInput.objects.exists()
    assert (vault / "partstream-inputs" / str(job.pk)).stat().st_size == job.input_bytes
    run(job.pk)
    assert Contract.objects.count() == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "The input of this job is no longer in its storage."),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-2]),
            "The input of this job was changed in its storage.",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b"C1", b"C9")),
            "The input of this job was changed in its storage.",
        ),
    ],
)
def test_an_input_that_was_spoilt_is_not_worked_on(
    client: Client, vault: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    job_id = post(client).json()["task_id"]
    spoil(vault / "partstream-inputs" / job_id)

    run(job_id)

    job = Job.objects.get()
    assert (job.state, job.message) == (State.FAILURE, f"{message} Send it again.")
    assert not Contract.objects.exists()


def test_a_job_that_is_refused_leaves_nothing_in_the_storage(
    client: Client, vault: Path, settings: Any
) -> None:
    client.force_login(get_user_model().objects.create_user("ann"))
    settings.PARTSTREAM = {"INPUT_STORAGE": "vault", "JOBS_PER_USER": 1}
    post(client)

    assert post(client).status_code == 429
    assert len(storages["vault"].listdir("partstream-inputs")[1]) == 1


class FullStorage(FileSystemStorage):
    """A disk that is full when half of a file is on it."""

    def _save(self, name: str, content: Any) -> str:
        data = content.read()
        half = ContentFile(data[: len(data) // 2])
        super()._save(name, half)  # type: ignore[misc]

        with Path("/dev/full").open("wb") as full:
            full.write(data)

        return name


def test_a_storage_that_is_full_takes_no_job(
    client: Client, vault: Path, settings: Any
) -> None:
    settings.STORAGES["vault"]["BACKEND"] = f"{__name__}.FullStorage"

    refused = post(client)

    assert refused.status_code == 503
    assert refused["Retry-After"] == "30"
    assert refused.json()["code"] == "storage_unavailable"
    assert not Job.objects.exists()
    # Nor does the half stay that had room.
    assert [*(vault / "partstream-inputs").iterdir()] == []


# Without a queue


@pytest.mark.parametrize("what", ["down", "hanging"])
def test_a_queue_that_is_away_costs_a_request_little(
    client: Client, settings: Any, what: str
) -> None:
    with a_black_hole() as port:
        settings.PARTSTREAM = {
            "REDIS_URL": f"redis://127.0.0.1:{1 if what == 'down' else port}/0"
        }
        started = time.monotonic()

        response = post(client)

        assert response.status_code == 202
        assert time.monotonic() - started < 10

    # What the queue was not told of, a sweeper hands out.
    run(response.json()["task_id"])
    assert Contract.objects.count() == 2
