"""Jobs without a broker: workers look into the table.

`DatabaseQueue` for `partstream_worker` processes, `EmbeddedQueue` for a worker inside
the serving process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from django.db import connections

from django_partstream import offload

from . import heartbeat, states
from .execute import Pace, SliceEnd, run_slice
from .progress import Publisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

__all__ = ("DatabaseQueue", "EmbeddedQueue", "pace_of", "worker_name")

logger = logging.getLogger(__name__)

#: How often a worker that has nothing to do looks into the table.
IDLE_SECONDS = 1.0

#: How long a worker waits after the database failed it.
BACKOFF_SECONDS = 1.0


def worker_name() -> str:
    """Host and process id, for the job's row."""
    return f"{socket.gethostname()}:{os.getpid()}"


def pace_of(*, commit: float) -> Pace:
    """The pace for the jobs' database.

    SQLite has one writer at a time and is not fair, so there a job leaves gaps.
    """
    sqlite = connections[states.jobs().db].vendor == "sqlite"

    return Pace(commit=commit, pause=0.03 if sqlite else 0.0)


class DatabaseQueue:
    """The table itself is the queue."""

    #: Of one transaction.
    commit_seconds = 1.0

    def __init__(self) -> None:
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def publish(self, job_id: UUID, message_id: str) -> None:
        """The row says it already; a worker in this process is woken."""
        if self._loop is not None and self._wake is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def ping(self) -> None:
        """The table is there when the database is."""

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        yield

    async def work(self, stop: asyncio.Event, *, concurrency: int) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()

        try:
            async with (
                heartbeat.beating(worker_name()),
                Publisher().running() as publisher,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(concurrency):
                    group.create_task(self._take_turns(stop, publisher))
        finally:
            self._loop = self._wake = None

    async def _take_turns(self, stop: asyncio.Event, publisher: Publisher) -> None:
        # A thread of its own: a slice takes up to a minute, and parts must not wait.
        pool = offload.Pool(1, name="partstream-job")

        try:
            while not stop.is_set():
                end = await self._turn(pool, stop, publisher)

                if end is None:
                    await self._idle(stop, IDLE_SECONDS)
                elif end is SliceEnd.INTERRUPTED:
                    await self._idle(stop, BACKOFF_SECONDS)
        finally:
            pool.close()

    async def _turn(
        self, pool: offload.Pool, stop: asyncio.Event, publisher: Publisher
    ) -> SliceEnd | None:
        """One slice of the job that waits longest; None when none waits."""
        try:
            job_id = await pool.run(states.waiting)

            if job_id is None:
                return None

            return await pool.run(
                run_slice,
                job_id,
                worker=worker_name(),
                pace=await pool.run(pace_of, commit=self.commit_seconds),
                stopping=stop.is_set,
                on_change=publisher.offer,
            )
        except Exception:
            logger.warning("the jobs' table cannot be read", exc_info=True)

            return SliceEnd.INTERRUPTED

    async def _idle(self, stop: asyncio.Event, seconds: float) -> None:
        assert self._wake is not None  # set while working
        waiting = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(self._wake.wait()),
        ]

        try:
            await asyncio.wait(
                waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in waiting:
                task.cancel()

            await asyncio.wait(waiting)

        self._wake.clear()


class EmbeddedQueue(DatabaseQueue):
    """A worker inside the serving process, one job at a time."""

    #: Short, since requests share the interpreter and often a one-writer database.
    commit_seconds = 0.25

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        worker = asyncio.create_task(self.work(stop, concurrency=1))

        try:
            yield
        finally:
            # The batch in hand ends and is committed; the job goes on at next start.
            stop.set()
            await asyncio.wait([worker])
            worker.result()
