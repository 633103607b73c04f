"""Workers say that they live and what they have counted: one row each.

For people and for health checks. Nothing in the execution of jobs depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError
from django.db.models import Q
from django.db.models.functions import Now

from django_partstream import conf, offload
from django_partstream.models import Worker

from . import states
from .observer import observe_jobs, unobserve_jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from django.db.models import QuerySet

    from .observer import JobEvent

__all__ = ("COUNTED", "Counts", "alive", "beating", "was_heard_of", "workers")

logger = logging.getLogger(__name__)

#: What a worker counts, in `Worker.counts`.
COUNTED = (
    "slices",
    "takeovers",
    "lost_leases",
    "batches",
    "rows",
    "poison_rows",
    "publish_failures",
)

#: A worker is alive that was heard of within so many sweeps.
MISSED_BEATS = 3

#: A worker that died is shown for so long.
REMEMBERED_SECONDS = 3600.0


class Counts:
    """An observer that counts what this process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counter: Counter[str] = Counter()

    def __call__(self, event: JobEvent, /) -> None:
        with self._lock:
            self._counter.update(_counted(event))

    def as_dict(self) -> dict[str, int]:
        with self._lock:
            return {name: self._counter[name] for name in COUNTED}


def _counted(event: JobEvent) -> dict[str, int]:
    match event.kind:
        case "claimed":
            return {"slices": 1, "takeovers": int(event.takeover)}
        case "committed":
            return {"batches": 1, "rows": event.tally.total}
        case "ended":
            return {"lost_leases": int(event.end == "lost")}
        case "poisoned":
            return {"poison_rows": 1}
        case "unpublished":
            return {"publish_failures": 1}


def was_heard_of() -> Q:
    """Of a worker: lately."""
    return Q(seen_at__gte=states.after(-MISSED_BEATS * conf.current().sweep_seconds))


def alive() -> QuerySet[Worker]:
    """The workers that were heard of lately."""
    return workers().filter(was_heard_of())


@contextlib.asynccontextmanager
async def beating(name: str) -> AsyncIterator[None]:
    """Say every `SWEEP_SECONDS` that the worker `name` lives, while the scope is open.

    Its row is gone afterwards. A database that is away costs a warning.
    """
    counts = observe_jobs(Counts())
    task = asyncio.create_task(_beat_on(name, counts))

    try:
        yield
    finally:
        unobserve_jobs(counts)
        task.cancel()
        await asyncio.wait([task])
        await _try(_forget, name)


async def _beat_on(name: str, counts: Counts) -> None:
    while True:
        await _try(_beat, name, counts)
        await asyncio.sleep(conf.current().sweep_seconds)


async def _try(function: Callable[..., None], name: str, *arguments: object) -> None:
    try:
        await offload.run_sync(function, name, *arguments)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("worker %s: %s: %s", name, type(error).__name__, error)


def workers() -> QuerySet[Worker]:
    """All that are remembered."""
    return Worker.objects.using(states.jobs().db)


def _beat(name: str, counts: Counts) -> None:
    said = {"seen_at": Now(), "counts": counts.as_dict()}

    if not workers().filter(pk=name).update(**said):
        # Of a class of the project's own, its name.
        queue = conf.current().queue.rpartition(".")[2][:20]
        workers().create(name=name, queue=queue, started_at=Now(), **said)

    workers().filter(seen_at__lt=states.after(-REMEMBERED_SECONDS)).delete()


def _forget(name: str) -> None:
    workers().filter(pk=name).delete()
