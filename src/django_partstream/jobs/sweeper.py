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

from . import states
from .submit import hand_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("sweep", "sweeping")

logger = logging.getLogger(__name__)

#: Jobs that one sweep hands out.
SWEEP_JOBS = 100


async def sweep() -> int:
    """Hand out the jobs that are due; how many."""
    jobs = await offload.run_sync(states.due, SWEEP_JOBS)

    for job_id, dispatches in jobs:
        await hand_out(job_id, dispatches)

    return len(jobs)


@contextlib.asynccontextmanager
async def sweeping() -> AsyncIterator[None]:
    """Sweep every `SWEEP_SECONDS` while the scope is open."""
    task = asyncio.create_task(_sweep_on())

    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _sweep_on() -> None:
    while True:
        try:
            await sweep()
        except Exception as error:
            # The queue or the database is away: the next sweep tries again.
            logger.warning("sweep: %s: %s", type(error).__name__, error)

        await asyncio.sleep(conf.current().sweep_seconds * random.uniform(0.8, 1.2))
