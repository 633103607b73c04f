"""Jobs without a broker: `partstream_worker` processes look into the table."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from .bench import Bench, open_bench
from .queue import GRACE_SECONDS
from .sweeper import sweeping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

__all__ = ("DatabaseQueue",)


class DatabaseQueue:
    """The table itself is the queue."""

    #: Of one transaction.
    commit_seconds = 1.0

    def __init__(self) -> None:
        self._bench: Bench | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def publish(self, job_id: UUID, message_id: str) -> None:
        """The row says it already; a worker in this process is woken."""
        loop, bench = self._loop, self._bench

        if loop is not None and bench is not None:
            # RuntimeError: that loop has just been closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(bench.wake.set)

    async def ping(self) -> None:
        """The table is there when the database is."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        yield

    async def work(
        self,
        stop: asyncio.Event,
        *,
        concurrency: int,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        async with (
            # For the pruning, and for the notes of what is dispatched.
            sweeping(self),
            open_bench(
                stop,
                threads=concurrency,
                commit_seconds=self.commit_seconds,
                grace_seconds=grace_seconds,
            ) as bench,
        ):
            self._loop, self._bench = asyncio.get_running_loop(), bench

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(concurrency):
                        group.create_task(bench.take_turns())
            finally:
                self._loop = self._bench = None
