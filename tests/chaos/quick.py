"""Queues whose workers are in a hurry, or stuck."""

from __future__ import annotations

import asyncio
import time

from django_partstream.jobs.database_queue import DatabaseQueue
from django_partstream.jobs.queue import GRACE_SECONDS

__all__ = ("BLOCKED_SECONDS", "BlockedQueue", "QuickQueue")

#: Longer than the lease of the chaos tests.
BLOCKED_SECONDS = 1.5


class QuickQueue(DatabaseQueue):
    """Commits often, so that there is much to be killed between."""

    commit_seconds = 0.02


class BlockedQueue(DatabaseQueue):
    """Its event loop stands still for longer than a lease, again and again, as with a
    function that should have been async."""

    async def work(
        self,
        stop: asyncio.Event,
        *,
        concurrency: int,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        blocking = asyncio.create_task(self._block())

        try:
            await super().work(
                stop, concurrency=concurrency, grace_seconds=grace_seconds
            )
        finally:
            blocking.cancel()
            await asyncio.wait([blocking])

    async def _block(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            time.sleep(BLOCKED_SECONDS)
