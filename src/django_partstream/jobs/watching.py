"""Reads the rows of the jobs that are followed, for all followers of an event loop.

Messages are hints that may be lost; this is the truth. However many follow however
many jobs, there is one query every `POLL_SECONDS`, and one more where a row has moved
on from what somebody was shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
from typing import TYPE_CHECKING, Any, Final, Protocol

from django_partstream import conf, offload

from . import progress, states, viewers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from uuid import UUID

__all__ = ("GONE", "REFUSED", "Follower", "watching")

logger = logging.getLogger(__name__)

#: In the place of a snapshot: there is no such job any more.
GONE: Final[Mapping[str, Any]] = {}
#: The follower may not see it any more.
REFUSED: Final[Mapping[str, Any]] = {}

#: Jobs in one query; databases have a limit for parameters.
QUERY_JOBS = 500


class Follower(Protocol):
    """Is given snapshots, on the event loop."""

    #: The `seq` of the newest one that it was shown.
    seen: int
    #: The key of the user who follows; None where nobody is to be asked.
    viewer: Any

    def put(self, message: Mapping[str, Any], /) -> None: ...


@contextlib.asynccontextmanager
async def watching(job_id: UUID, follower: Follower) -> AsyncIterator[None]:
    """Give the follower the job's snapshot soon, and whenever it is found to be newer
    than what it was shown; `GONE` where there is none, and `REFUSED` soon after its
    viewer has lost the right to see it."""
    loop = asyncio.get_running_loop()
    watch = _watches.get(loop)

    if watch is None:
        watch = _watches[loop] = _Watch()

    watch.add(job_id, follower)

    try:
        yield
    finally:
        watch.remove(job_id, follower)

        if not watch.followers and _watches.get(loop) is watch:
            # Whoever comes from here on gets another one.
            del _watches[loop]
            await watch.stop()


class _Watch:
    def __init__(self) -> None:
        self.followers: dict[UUID, set[Follower]] = {}
        #: Whose followers have seen nothing yet.
        self._asked: set[UUID] = set()
        self._wake = asyncio.Event()
        # Of nobody's request: no language, no connection of a tenant.
        self._task = asyncio.get_running_loop().create_task(
            self._run(), context=contextvars.Context()
        )

    def add(self, job_id: UUID, follower: Follower) -> None:
        self.followers.setdefault(job_id, set()).add(follower)
        self._asked.add(job_id)
        self._wake.set()

    def remove(self, job_id: UUID, follower: Follower) -> None:
        followers = self.followers[job_id]
        followers.discard(follower)

        if not followers:
            del self.followers[job_id]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()

        while True:
            # Not all processes together.
            ends_at = loop.time() + conf.current().poll_seconds * random.uniform(0.8, 1)

            while await self._is_asked(ends_at):
                asked, self._asked = self._asked, set()
                await self._read(asked)

            await self._read(tuple(self.followers))
            await self._ask_again()

    async def _is_asked(self, ends_at: float) -> bool:
        try:
            async with asyncio.timeout_at(ends_at):
                await self._wake.wait()
        except TimeoutError:
            return False

        self._wake.clear()

        return True

    async def _read(self, job_ids: Collection[UUID]) -> None:
        seen = {
            job_id: min(follower.seen for follower in self.followers[job_id])
            for job_id in job_ids
            if job_id in self.followers
        }

        try:
            news = await offload.run_sync(_news, seen)
        except Exception as error:
            # The database is away; the followers stay.
            logger.warning("the followed jobs cannot be read: %r", error)
            return

        for job_id, snapshot in news.items():
            for follower in tuple(self.followers.get(job_id, ())):
                follower.put(snapshot)

    async def _ask_again(self) -> None:
        """Let go of those who may not see any more what they follow."""
        asked = {
            (job_id, follower.viewer)
            for job_id, followers in self.followers.items()
            for follower in followers
            if follower.viewer is not None
        }

        try:
            refused = await offload.run_sync(_refused, tuple(asked)) if asked else ()
        except Exception as error:
            logger.warning("the viewers of jobs cannot be read: %r", error)
            return

        for job_id, viewer in refused:
            for follower in tuple(self.followers.get(job_id, ())):
                if follower.viewer == viewer:
                    follower.put(REFUSED)


def _refused(asked: Sequence[tuple[UUID, Any]]) -> set[tuple[UUID, Any]]:
    return {
        pair
        for start in range(0, len(asked), QUERY_JOBS)
        for pair in viewers.no_longer(asked[start : start + QUERY_JOBS])
    }


def _news(seen: Mapping[UUID, int]) -> dict[UUID, Mapping[str, Any]]:
    """The snapshots of those jobs that have moved on, and who is gone."""
    news: dict[UUID, Mapping[str, Any]] = {}
    job_ids = list(seen)

    for start in range(0, len(job_ids), QUERY_JOBS):
        some = job_ids[start : start + QUERY_JOBS]
        rows = states.with_cancels(states.jobs().filter(pk__in=some).only("seq"))
        found = {job.pk: progress.seq_of(job) for job in rows}
        news |= {job_id: GONE for job_id in some if job_id not in found}
        moved = [job_id for job_id, seq in found.items() if seq > seen[job_id]]

        if moved:
            news |= {job.pk: progress.snapshot(job) for job in progress.load_all(moved)}

    return news


_watches: dict[asyncio.AbstractEventLoop, _Watch] = {}
