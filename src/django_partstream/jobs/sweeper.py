"""Hands out what nobody works on: lost messages, dead workers, a queue that was down.

Runs in every process. Every step is a compare-and-set, so it needs no leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING

from django_partstream import conf, offload

from . import observer, pruning, states
from .crash_points import Point, reached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from .queue import Queue

__all__ = ("hand_out", "is_sweeping", "sweep", "sweeping")

logger = logging.getLogger(__name__)

#: Jobs that one sweep hands out.
SWEEP_JOBS = 100

#: How often a process prunes, and the jobs that it then deletes.
PRUNE_SECONDS = 600.0
PRUNE_JOBS = 100

#: Scopes of `sweeping` in this process.
_open = 0


async def hand_out(queue: Queue, job_id: UUID, dispatches: int) -> None:
    """Put the job into the queue, once for this number of `dispatches`."""
    message_id = await offload.run_sync(states.dispatch, job_id, dispatches)

    if message_id is not None:
        reached(Point.BEFORE_PUBLISH)

        try:
            await queue.publish(job_id, message_id)
        except Exception:
            # The next sweep need not wait as for a message that was lost.
            await offload.run_sync(states.undispatch, job_id)
            observer.notify(observer.JobEvent(kind="unpublished", job_id=job_id))
            raise

        reached(Point.AFTER_PUBLISH)


async def sweep(queue: Queue) -> int:
    """Hand out the jobs that are due; how many. End those that are to be cancelled and
    whose worker is gone."""
    await offload.run_sync(states.sweep_cancels)
    jobs = await offload.run_sync(states.due, SWEEP_JOBS)

    for job_id, dispatches in jobs:
        await hand_out(queue, job_id, dispatches)

    return len(jobs)


@contextlib.asynccontextmanager
async def sweeping(queue: Queue) -> AsyncIterator[None]:
    """Sweep every `SWEEP_SECONDS`, and prune now and then, while the scope is open."""
    global _open
    tasks = [asyncio.create_task(_sweep_on(queue)), asyncio.create_task(_prune_on())]
    _open += 1

    try:
        yield
    finally:
        _open -= 1

        for task in tasks:
            task.cancel()

        await asyncio.wait(tasks)


def is_sweeping() -> bool:
    """Whether this process sweeps."""
    return _open > 0


async def _sweep_on(queue: Queue) -> None:
    while True:
        try:
            await sweep(queue)
        except Exception as error:
            # The queue or the database is away: the next sweep tries again.
            logger.warning("sweep: %s: %s", type(error).__name__, error)

        await asyncio.sleep(conf.current().sweep_seconds * random.uniform(0.7, 1.0))


async def _prune_on() -> None:
    while True:
        # Not at once, and not all processes of a deployment together.
        await asyncio.sleep(PRUNE_SECONDS * random.uniform(0.1, 1.9))

        try:
            await offload.run_sync(pruning.prune, limit=PRUNE_JOBS)
            await offload.run_sync(pruning.prune_strays)
        except Exception as error:
            logger.warning("prune: %s: %s", type(error).__name__, error)
