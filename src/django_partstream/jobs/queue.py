"""The port to whatever brings jobs to workers.

A queue may lose, double, delay and reorder what it is given: the database row decides.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from django_partstream import conf

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

__all__ = ("GRACE_SECONDS", "Queue", "get_queue", "make_queue")

#: How long a batch in hand may take to end when its worker is stopped.
GRACE_SECONDS = 30.0


class Queue(Protocol):
    """Where jobs wait for a worker."""

    async def publish(self, job_id: UUID, message_id: str) -> None:
        """Say that the job can be worked on. `message_id` is used once."""
        ...

    async def ping(self) -> None:
        """Raises whatever tells that it cannot be reached."""
        ...

    def run(self) -> AbstractAsyncContextManager[None]:
        """What must live in a serving process, while the scope is open."""
        ...

    async def work(
        self,
        stop: asyncio.Event,
        *,
        concurrency: int,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Be a worker until `stop` is set; then end the batch in hand and return,
        after `grace_seconds` at the latest."""
        ...


#: The queues that are here; a project may name a class of its own by its path.
QUEUES = {
    "arq": "django_partstream.jobs.arq_queue.ArqQueue",
    "database": "django_partstream.jobs.database_queue.DatabaseQueue",
    "embedded": "django_partstream.jobs.embedded_queue.EmbeddedQueue",
}


@functools.cache
def get_queue() -> Queue:
    """The queue that `PARTSTREAM['QUEUE']` names, one per process."""
    return make_queue(conf.current().queue)


def make_queue(name: str) -> Queue:
    """A queue by its name or its dotted path."""
    # Each adapter imports its neighbour only where it is used.
    queue: Queue = import_string(QUEUES.get(name, name))()

    return queue


def _reload(*, setting: str, **_: object) -> None:
    if setting == "PARTSTREAM":
        get_queue.cache_clear()


setting_changed.connect(_reload, dispatch_uid="django_partstream.jobs.queue")
