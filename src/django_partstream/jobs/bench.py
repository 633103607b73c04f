"""What a worker works at, whatever its queue: threads, a heartbeat, a publisher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from typing import TYPE_CHECKING

from django.db import connections

from django_partstream import offload

from . import heartbeat, states
from .execute import Pace, SliceEnd, run_slice
from .progress import Publisher
from .queue import GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

__all__ = ("Bench", "open_bench")

logger = logging.getLogger(__name__)

#: How often a worker that has nothing to do looks into the table.
IDLE_SECONDS = 1.0

#: How long a worker waits after the database failed it.
BACKOFF_SECONDS = 1.0

#: Between two commits on SQLite, which has one writer at a time and is not fair.
SQLITE_PAUSE_SECONDS = 0.03


class Bench:
    """Where the jobs of one worker are worked on, `threads` side by side."""

    def __init__(
        self,
        stop: asyncio.Event,
        pool: offload.Pool,
        publisher: Publisher,
        *,
        worker: str,
        commit_seconds: float,
        grace_seconds: float,
    ) -> None:
        self.stop = stop
        #: Set when a turn at the table may be worth while before its time.
        self.wake = asyncio.Event()
        self._pool = pool
        self._publisher = publisher
        self._worker = worker
        self._commit_seconds = commit_seconds
        self._grace_seconds = grace_seconds

    async def work_on(self, job_id: UUID) -> SliceEnd:
        """One slice of this job, if nobody else has it.

        When it is cancelled, or `stop` is set, the batch in hand ends and is committed
        and the job is given back: for that there are `grace_seconds`.
        """
        interrupted = threading.Event()
        working = asyncio.create_task(
            self._pool.run(
                self._slice, job_id, lambda: self.stop.is_set() or interrupted.is_set()
            )
        )

        stopping = asyncio.create_task(self.stop.wait())

        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            interrupted.set()
            await self._grant_grace(working, job_id)
            raise
        finally:
            stopping.cancel()

        return await self._grant_grace(working, job_id)

    async def _grant_grace(
        self, working: asyncio.Task[SliceEnd], job_id: UUID
    ) -> SliceEnd:
        ended, _ = await asyncio.wait({working}, timeout=self._grace_seconds)

        if ended:
            return working.result()

        logger.warning(
            "job %s: its batch did not end in %s s and is left alone",
            job_id,
            self._grace_seconds,
            extra={"job_id": str(job_id)},
        )
        working.cancel()
        await asyncio.wait({working})

        return SliceEnd.INTERRUPTED

    async def take_turn(self) -> SliceEnd | None:
        """One slice of the job in the table that waits longest; None when none waits.

        A database that is away interrupts it.
        """
        try:
            job_id = await self._pool.run(states.waiting)
        except Exception:
            logger.warning("the jobs' table cannot be read", exc_info=True)

            return SliceEnd.INTERRUPTED

        return None if job_id is None else await self.work_on(job_id)

    async def take_turns(self, *, until: Callable[[], bool] | None = None) -> None:
        """Take turns at the table, several times at once if one likes, until `stop` is
        set or `until()` holds between two of them."""
        while not (self.stop.is_set() or (until is not None and until())):
            end = await self.take_turn()

            if end is None:
                await self._idle(IDLE_SECONDS)
            elif end is SliceEnd.INTERRUPTED:
                await self._idle(BACKOFF_SECONDS)

    async def work_off(self) -> None:
        """Take turns until none waits."""
        while not self.stop.is_set():
            end = await self.take_turn()

            if end is None:
                return

            if end is SliceEnd.INTERRUPTED:
                await self._idle(BACKOFF_SECONDS)

    async def _idle(self, seconds: float) -> None:
        waiting = [
            asyncio.create_task(self.stop.wait()),
            asyncio.create_task(self.wake.wait()),
        ]

        try:
            await asyncio.wait(
                waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in waiting:
                task.cancel()

            await asyncio.wait(waiting)

        self.wake.clear()

    def _slice(self, job_id: UUID, stopping: Callable[[], bool]) -> SliceEnd:
        try:
            return run_slice(
                job_id,
                worker=self._worker,
                pace=_pace(self._commit_seconds),
                stopping=stopping,
                on_change=self._publisher.offer,
            )
        except Exception:
            # Its own errors end a job; these are of the database between two batches.
            logger.warning(
                "job %s: interrupted",
                job_id,
                exc_info=True,
                extra={"job_id": str(job_id)},
            )

            return SliceEnd.INTERRUPTED


@contextlib.asynccontextmanager
async def open_bench(
    stop: asyncio.Event,
    *,
    threads: int,
    commit_seconds: float = 1.0,
    grace_seconds: float = GRACE_SECONDS,
) -> AsyncIterator[Bench]:
    """A bench while this scope is open; what was published last is sent at its end."""
    pool = offload.Pool(threads, name="partstream-job")
    # The random part tells apart the containers that are all process 1.
    worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"

    try:
        async with (
            heartbeat.beating(worker),
            Publisher().running() as publisher,
        ):
            yield Bench(
                stop,
                pool,
                publisher,
                worker=worker,
                commit_seconds=commit_seconds,
                grace_seconds=grace_seconds,
            )
    finally:
        pool.close()


def _pace(commit_seconds: float) -> Pace:
    sqlite = connections[states.jobs().db].vendor == "sqlite"

    return Pace(commit=commit_seconds, pause=SQLITE_PAUSE_SECONDS if sqlite else 0.0)
