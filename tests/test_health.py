"""`/livez` and `/readyz`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import AsyncClient

from django_partstream import health
from django_partstream.jobs import states, sweeper
from django_partstream.jobs.queue import get_queue
from django_partstream.models import Worker
from tests.streams.servers import serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def unknown_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health._Applied, "all", False)


@pytest.fixture(autouse=True)
def time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a busy machine."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 30.0)


def make_worker(seconds_ago: float = 0) -> None:
    seen = states.after(-seconds_ago)
    Worker.objects.create(name="w", queue="database", started_at=seen, seen_at=seen)


def test_a_process_that_answers_is_alive(client: Any) -> None:
    response = client.get("/api/livez")

    assert response.status_code == 200
    assert response.json() == {"status": "alive"}
    assert "no-store" in response["Cache-Control"]


def test_a_process_that_lacks_nothing_is_ready(client: Any) -> None:
    response = client.get("/api/readyz")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "queue": "ok", "worker": "ok"},
    }


async def test_it_is_ready_under_asgi_too() -> None:
    response = await AsyncClient().get("/api/readyz")

    assert response.status_code == 200


def test_a_queue_that_needs_workers_is_not_ready_without_one(
    client: Any, settings: Any
) -> None:
    settings.PARTSTREAM = {"QUEUE": "database", "SWEEP_SECONDS": 10}
    make_worker(seconds_ago=40)
    text = "none was heard of in the last 30 s. Start one: manage.py partstream_worker."

    response = client.get("/api/readyz")

    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": f"worker: {text}",
        "code": "not_ready",
        "checks": {"database": "ok", "migrations": "ok", "queue": "ok", "worker": text},
    }


def test_a_worker_that_was_heard_of_lately_will_do(client: Any, settings: Any) -> None:
    settings.PARTSTREAM = {"QUEUE": "database", "SWEEP_SECONDS": 100}
    make_worker(seconds_ago=200)

    assert client.get("/api/readyz").status_code == 200


def test_a_check_can_be_left_out(client: Any, settings: Any) -> None:
    settings.PARTSTREAM = {"QUEUE": "database"}

    response = client.get("/api/readyz?exclude=worker&exclude=queue")

    assert response.json()["checks"] == {"database": "ok", "migrations": "ok"}


def test_a_check_that_there_is_not_cannot_be_left_out(client: Any) -> None:
    response = client.get("/api/readyz?exclude=moon")

    assert response.status_code == 400
    assert response.json()["detail"] == (
        "exclude is 'moon'; expected one of 'database', 'migrations', 'queue', "
        "'worker'."
    )


def test_missing_migrations_are_counted(client: Any) -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("partstream", "0001_initial")

    try:
        response = client.get("/api/readyz")
    finally:
        recorder.record_applied("partstream", "0001_initial")

    assert response.status_code == 503
    assert response.json()["checks"]["migrations"] == (
        "1 migrations are not applied. Run manage.py migrate."
    )
    assert client.get("/api/readyz").status_code == 200


def test_without_redis_it_is_not_ready_and_names_no_host(
    client: Any, settings: Any
) -> None:
    settings.PARTSTREAM = {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    make_worker()

    response = client.get("/api/readyz")

    assert response.status_code == 503
    assert response.json()["detail"] == "queue: ConnectionError; see the log."
    assert b"127.0.0.1" not in response.content
    assert b"secret" not in response.content


async def test_without_redis_a_process_that_sweeps_is_degraded(settings: Any) -> None:
    settings.PARTSTREAM = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    await sync_to_async(make_worker)()

    async with sweeper.sweeping(get_queue()):
        response = await AsyncClient().get("/api/readyz")

    assert response.status_code == 200
    assert response.json()["checks"]["queue"] == (
        "degraded: ConnectionError, but the sweeper is at work."
    )
    assert not sweeper.is_sweeping()


def test_with_redis_it_is_ready(client: Any, settings: Any, redis_url: str) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_url}
    make_worker()

    assert client.get("/api/readyz").status_code == 200


def test_a_database_that_answers_nothing_is_given_up(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    monkeypatch.setitem(health.CHECKS, "database", wait_for_ever)

    response = client.get("/api/readyz")

    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "no answer within 0.05 s."


def test_a_server_whose_database_is_not_there_lives_and_is_not_ready(
    tmp_path: Any,
) -> None:
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "missing" / "db.sqlite3"),
    }

    with serving(ROOT_URLCONF="tests.urls", DATABASES={"default": database}) as server:
        status, _, body = server.get("/api/livez")
        assert (status, json.loads(body)) == (200, {"status": "alive"})

        status, _, body = server.get("/api/readyz")

    found = json.loads(body)
    assert status == 503
    assert found["checks"]["database"] == "OperationalError; see the log."
    assert found["checks"]["queue"] == "ok"
    assert os.fspath(tmp_path) not in body.decode()
