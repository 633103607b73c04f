"""The port to whatever brings jobs to workers.

A queue may lose, double, delay and reorder what it is given: the database row decides.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

from django.core.signals import setting_changed

from django_partstream import conf

if TYPE_CHECKING:
    import asyncio
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

__all__ = ("Queue", "get_queue")


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

    async def work(self, stop: asyncio.Event, *, concurrency: int) -> None:
        """Be a worker until `stop` is set; then end the batch in hand and return."""
        ...


@functools.cache
def get_queue() -> Queue:
    """The queue that `PARTSTREAM['QUEUE']` names, one per process."""
    # Each adapter imports its neighbour only where it is used.
    match conf.current().queue:
        case "arq":
            from .arq_queue import ArqQueue

            return ArqQueue()
        case "database":
            from .database_queue import DatabaseQueue

            return DatabaseQueue()
        case "embedded":
            from .database_queue import EmbeddedQueue

            return EmbeddedQueue()


def _reload(*, setting: str, **_: object) -> None:
    if setting == "PARTSTREAM":
        get_queue.cache_clear()


setting_changed.connect(_reload, dispatch_uid="django_partstream.jobs.queue")
