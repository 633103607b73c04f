"""Parts, streams and jobs as Prometheus metrics: the extra `prometheus`, two lines.

    # apps.py
    class ShopConfig(AppConfig):
        def ready(self):
            prometheus.enable()
            prometheus.enable_jobs()

How they are served is the project's own matter: `django-prometheus`, or
`prometheus_client.make_asgi_app()`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from django_partstream import hub, offload
from django_partstream.jobs.observer import observe_jobs
from django_partstream.parts.observer import observe
from django_partstream.stream_slots import slots

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from django_partstream.parts.observer import PartEvent

    from .prometheus_jobs import JobMetrics

__all__ = ("OTHER", "PartMetrics", "ProcessCollector", "enable", "enable_jobs")

#: The label of the parts of a view that come after the first `names_per_view`.
OTHER = "(other)"
#: From a part that is there at once to one that the stream's deadline ends.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def enable(
    registry: CollectorRegistry = REGISTRY, *, names_per_view: int = 50
) -> PartMetrics:
    """Count the parts of this process, and show its streams, in `registry`.

    To be called once; the registry raises ValueError for a second time. What it
    returns is the observer: `unobserve(enable(…))` ends the counting. A view whose
    parts have names from its data has `names_per_view` of them as labels, all others
    together as `(other)`.
    """
    metrics = PartMetrics(registry, names_per_view=names_per_view)
    registry.register(ProcessCollector())

    return observe(metrics)


def enable_jobs(registry: CollectorRegistry = REGISTRY) -> JobMetrics:
    """Count what this process does with jobs, and show the queue and the workers, in
    `registry`.

    To be called once, as `enable`; `unobserve_jobs(enable_jobs(…))` ends the counting.
    The queue and the workers are read from the database at the scrape.
    """
    # Only these need the models, which a settings module may not have yet.
    from .prometheus_jobs import JobMetrics, QueueCollector

    metrics = JobMetrics(registry)
    registry.register(QueueCollector())

    return observe_jobs(metrics)


class PartMetrics:
    """An observer that counts."""

    def __init__(self, registry: CollectorRegistry, *, names_per_view: int) -> None:
        self._names = _Names(names_per_view)
        self._parts = Counter(
            "partstream_parts",
            "Parts that ended: ok, cached, cancelled, or the code of their problem",
            ("view", "part", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "partstream_part_seconds",
            "Own work of parts that were made or failed",
            ("view", "part"),
            buckets=SECONDS,
            registry=registry,
        )
        self._running = Gauge(
            "partstream_parts_running",
            "Parts that are being made",
            ("view",),
            multiprocess_mode="livesum",
            registry=registry,
        )

    def __call__(self, event: PartEvent, /) -> None:
        running = self._running.labels(event.view)

        if event.kind == "started":
            running.inc()
            return

        running.dec()
        part = self._names.label(event.view, event.part)
        self._parts.labels(event.view, part, _outcome(event)).inc()

        if event.kind != "cancelled" and event.ms is not None:
            self._seconds.labels(event.view, part).observe(event.ms / 1000)


def _outcome(event: PartEvent) -> str:
    if event.kind == "finished":
        return "cached" if event.cached else "ok"

    return event.code or event.kind


class _Names:
    """The first names of each view. A label for every name would be a leak."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()

    def label(self, view: str, part: str) -> str:
        with self._lock:
            known = self._known[view]

            if part not in known:
                if len(known) >= self._limit:
                    return OTHER

                known.add(part)

        return part


class ProcessCollector:
    """What this process holds at the moment of the scrape."""

    def collect(self) -> Iterator[Metric]:
        threads, followed = offload.statistics(), hub.statistics()

        for name, text, value in (
            ("streams_open", "Streams and subscriptions", slots.total),
            ("threads", "Threads for sync parts", threads.threads),
            ("threads_most", "How many there may be (THREADS)", threads.most),
            ("thread_calls_running", "Sync calls in a thread", threads.running),
            ("thread_calls_waiting", "Sync calls without a thread", threads.waiting),
            (
                "thread_calls_abandoned",
                "Sync calls in a thread that nobody waits for any more",
                threads.abandoned,
            ),
            ("hub_groups", "Topics and jobs that are followed", followed.groups),
            ("hub_followers", "Who follows them", followed.mailboxes),
        ):
            yield GaugeMetricFamily(f"partstream_{name}", text, value=value)

        yield CounterMetricFamily(
            "partstream_hub_unpublished",
            "Messages that the channel layer did not take",
            value=followed.unpublished,
        )
