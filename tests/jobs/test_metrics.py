"""Jobs as Prometheus metrics, and how many wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone
from prometheus_client import CollectorRegistry

from django_partstream import JobEvent, unobserve_jobs
from django_partstream.contrib import prometheus, prometheus_jobs
from django_partstream.jobs import states
from django_partstream.jobs.depth import Depth, depth
from django_partstream.jobs.observer import notify
from django_partstream.models import Worker
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, make_job

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    metrics = prometheus.enable_jobs(registry)
    yield registry
    unobserve_jobs(metrics)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"partstream_{name}", labels)


def test_batches_and_rows_are_counted_by_kind_and_outcome(
    run: Run, registry: CollectorRegistry
) -> None:
    run(make_job(35))

    assert value(registry, "job_batch_seconds_count", work=KIND) == 4
    assert 0 < (value(registry, "job_batch_seconds_sum", work=KIND) or 0) < 20
    assert value(registry, "job_rows_total", work=KIND, outcome="created") == 30
    assert value(registry, "job_rows_total", work=KIND, outcome="failed") == 5
    assert value(registry, "job_rows_total", work=KIND, outcome="deleted") is None
    assert value(registry, "job_slices_total", end="finished") == 1


def test_what_goes_wrong_is_counted(registry: CollectorRegistry) -> None:
    job = make_job(1).pk

    for event in (
        JobEvent(kind="claimed", job_id=job, takeover=False),
        JobEvent(kind="claimed", job_id=job, takeover=True),
        JobEvent(kind="ended", job_id=job, end="lost"),
        JobEvent(kind="poisoned", job_id=job),
        JobEvent(kind="unpublished", job_id=job),
    ):
        notify(event)

    assert value(registry, "job_takeovers_total") == 1
    assert value(registry, "job_slices_total", end="lost") == 1
    assert value(registry, "job_poison_rows_total") == 1
    assert value(registry, "job_publish_failures_total") == 1


def aged(seconds: float, **fields: Any) -> None:
    job = make_job(1, **fields)
    states.jobs().filter(pk=job.pk).update(created_at=states.after(-seconds))


@pytest.mark.database
def test_depth_tells_jobs_that_wait_from_those_that_run() -> None:
    assert depth() == Depth(waiting=0, running=0, oldest_seconds=0.0)

    aged(500, state="SUCCESS")
    aged(300)
    aged(100)
    states.claim(make_job(1).pk, "test:1")
    found = depth()

    assert (found.waiting, found.running) == (2, 1)
    assert 300 <= found.oldest_seconds < 330


@pytest.mark.database
def test_a_job_that_was_given_back_waits_since_then() -> None:
    job = make_job(1)
    states.jobs().update(created_at=states.after(-500))
    claimed = states.claim(job.pk, "test:1")
    assert claimed is not None
    states.release(claimed)

    assert depth().waiting == 1
    assert depth().oldest_seconds < 30


def test_the_queue_and_the_workers_are_read_at_the_scrape(
    registry: CollectorRegistry,
) -> None:
    aged(60)
    now = timezone.now()
    Worker.objects.create(
        name="host:1",
        queue="database",
        started_at=now,
        seen_at=now,
        counts={"slices": 7, "rows": 12_000, "lost_leases": 2},
    )

    assert value(registry, "jobs_waiting") == 1
    assert value(registry, "jobs_running") == 0
    assert (value(registry, "jobs_oldest_seconds") or 0) >= 60
    assert value(registry, "workers") == 1
    assert value(registry, "worker_slices_total", worker="host:1") == 7
    assert value(registry, "worker_rows_total", worker="host:1") == 12_000
    assert value(registry, "worker_takeovers_total", worker="host:1") == 0


async def test_a_scrape_on_the_loop_waits_for_no_database(
    registry: CollectorRegistry,
) -> None:
    await sync_to_async(aged)(60)

    assert value(registry, "jobs_waiting") is None

    async with asyncio.timeout(20):
        while value(registry, "jobs_waiting") != 1:
            await asyncio.sleep(0.01)


def test_of_a_database_that_is_away_nothing_is_shown(
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert value(registry, "jobs_waiting") == 0

    def fail() -> Depth:
        raise OperationalError("no such host")

    monkeypatch.setattr(prometheus_jobs, "depth", fail)

    assert value(registry, "jobs_waiting") is None
    assert caplog.messages == ["metrics of jobs: OperationalError: no such host"]
