"""What `prometheus.enable_jobs()` shows."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, connections
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from django_partstream.jobs import heartbeat
from django_partstream.jobs.depth import depth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from django_partstream.jobs.observer import JobEvent

__all__ = ("JobMetrics", "QueueCollector")

logger = logging.getLogger(__name__)

#: From a commit of a few rows to one that waits for a lock.
BATCH_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class JobMetrics:
    """An observer that counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._batches = Histogram(
            "partstream_job_batch_seconds",
            "Commits of jobs, with their wait for the job's row",
            ("work",),
            buckets=BATCH_SECONDS,
            registry=registry,
        )
        self._rows = Counter(
            "partstream_job_rows",
            "Rows of jobs by what became of them",
            ("work", "outcome"),
            registry=registry,
        )
        self._slices = Counter(
            "partstream_job_slices",
            "Slices of jobs: finished, released, lost (the lease), interrupted",
            ("end",),
            registry=registry,
        )
        self._takeovers, self._poisoned, self._unpublished = (
            Counter(f"partstream_job_{name}", text, registry=registry)
            for name, text in (
                ("takeovers", "Jobs taken over from a worker that fell silent"),
                ("poison_rows", "Rows that killed their workers"),
                ("publish_failures", "Jobs that the queue did not take at once"),
            )
        )

    def __call__(self, event: JobEvent, /) -> None:
        match event.kind:
            case "claimed":
                self._takeovers.inc(event.takeover)
            case "committed":
                self._count_batch(event)
            case "ended":
                self._slices.labels(event.end).inc()
            case "poisoned":
                self._poisoned.inc()
            case "unpublished":
                self._unpublished.inc()

    def _count_batch(self, event: JobEvent) -> None:
        self._batches.labels(event.work).observe(event.seconds or 0.0)

        for outcome, rows in dataclasses.asdict(event.tally).items():
            if rows:
                self._rows.labels(event.work, outcome).inc(rows)


class QueueCollector:
    """The queue and the workers, as the database has them.

    Where the scrape runs on an event loop, which must not wait for a database, it
    shows what was read for the scrape before, and has it read again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: threading.Thread | None = None
        self._read: list[Metric] = []

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask a database that may not be there yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        if _on_a_loop():
            self._read_soon()
        else:
            self._try()

        yield from self._read

    def _read_soon(self) -> None:
        with self._lock:
            if self._reading is None or not self._reading.is_alive():
                self._reading = threading.Thread(target=self._run, daemon=True)
                self._reading.start()

    def _run(self) -> None:
        try:
            self._try()
        finally:
            connections.close_all()

    def _try(self) -> None:
        try:
            self._read = [*_queue(), *_workers()]
        except (DatabaseError, InterfaceError) as error:
            # Of a database that is away nothing is known: a gap, not old numbers.
            self._read = []
            logger.warning("metrics of jobs: %s: %s", type(error).__name__, error)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False

    return True


def _queue() -> Iterator[Metric]:
    now = depth()

    for name, text, value in (
        ("jobs_waiting", "Jobs that wait for a worker", now.waiting),
        ("jobs_running", "Jobs that a worker has", now.running),
        (
            "jobs_oldest_seconds",
            "How long the first of those that wait has waited",
            now.oldest_seconds,
        ),
        ("workers", "Workers that were heard of lately", heartbeat.alive().count()),
    ):
        yield GaugeMetricFamily(f"partstream_{name}", text, value=value)


def _workers() -> Iterator[Metric]:
    workers: list[tuple[str, dict[str, Any]]] = list(
        heartbeat.workers().values_list("name", "counts")
    )

    for name in heartbeat.COUNTED:
        family = CounterMetricFamily(
            f"partstream_worker_{name}",
            f"{name.replace('_', ' ').capitalize()} of a worker, by its heartbeat",
            labels=["worker"],
        )

        for worker, counts in workers:
            family.add_metric([worker], counts.get(name, 0))

        yield family
