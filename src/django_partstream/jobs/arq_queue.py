"""Jobs on arq workers. The only module that imports arq.

arq delivers at least once, late, or not at all; here it carries ids and nothing else,
each message under an id of its own, and keeps no results.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker, func
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from django_partstream import conf, offload

from . import heartbeat, states
from .database_queue import pace_of, worker_name
from .execute import SliceEnd, run_slice
from .progress import Publisher
from .sweeper import hand_out, sweeping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arq.typing import WorkerCoroutine

__all__ = ("QUEUE_NAME", "ArqQueue")

logger = logging.getLogger(__name__)

QUEUE_NAME = "partstream:queue"
FUNCTION = "partstream_slice"

#: arq runs a message again this long (and 10 s) after its worker died; our own sweeper
#: is quicker. It must be longer than a slice.
ARQ_TIMEOUT_SECONDS = 120

PUBLISH_TIMEOUT_SECONDS = 3.0

#: How long batches in hand may take to end when the worker is stopped.
GRACE_SECONDS = 30.0

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)


class ArqQueue:
    """Messages in Redis, taken by `partstream_worker` processes."""

    async def publish(self, job_id: UUID, message_id: str) -> None:
        # A connection for each of these rare messages: nothing to share between
        # threads and loops, nothing to leak.
        async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
            async with _connected(retries=0) as redis:
                await redis.enqueue_job(FUNCTION, str(job_id), _job_id=message_id)

    async def ping(self) -> None:
        async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS), _connected(retries=0):
            pass  # it has been asked when the connection is open

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with sweeping(self):
            yield

    async def work(self, stop: asyncio.Event, *, concurrency: int) -> None:
        pool = offload.Pool(concurrency, name="partstream-job")

        try:
            async with (
                sweeping(self),
                heartbeat.beating(worker_name()),
                Publisher().running() as publisher,
            ):
                await self._keep_working(stop, concurrency, pool, publisher)
        finally:
            pool.close()

    async def _keep_working(
        self,
        stop: asyncio.Event,
        concurrency: int,
        pool: offload.Pool,
        publisher: Publisher,
    ) -> None:
        """Run arq workers, one after another: arq's own dies when Redis restarts."""
        failures = 0

        while not stop.is_set():
            try:
                async with _connected(retries=5) as redis:
                    await _until(
                        self._worker(redis, stop, concurrency, pool, publisher), stop
                    )

                failures = 0
            except Exception as error:
                delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                failures += 1
                logger.warning(
                    "the arq worker died (%s: %s); a new one starts in %s s",
                    type(error).__name__,
                    error,
                    delay,
                )

                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), delay)

    def _worker(
        self,
        redis: ArqRedis,
        stop: asyncio.Event,
        concurrency: int,
        pool: offload.Pool,
        publisher: Publisher,
    ) -> Worker:
        async def work(_: dict[Any, Any], job_id: str) -> None:
            pace = await pool.run(pace_of, commit=1.0)
            end = await pool.run(
                run_slice,
                UUID(job_id),
                worker=worker_name(),
                pace=pace,
                stopping=stop.is_set,
                on_change=publisher.offer,
            )

            if end is SliceEnd.RELEASED:
                await self._hand_on(UUID(job_id))

        return Worker(
            functions=[
                func(
                    cast("WorkerCoroutine", work),
                    name=FUNCTION,
                    keep_result=0,
                    timeout=ARQ_TIMEOUT_SECONDS,
                    max_tries=1,
                )
            ],
            queue_name=QUEUE_NAME,
            redis_pool=redis,
            handle_signals=False,
            max_jobs=concurrency,
            keep_result=0,
            retry_jobs=False,
            allow_abort_jobs=False,
            job_serializer=_dumps,
            job_deserializer=orjson.loads,
            log_results=False,
            poll_delay=0.2,
        )

    async def _hand_on(self, job_id: UUID) -> None:
        dispatches = await offload.run_sync(_dispatches, job_id)

        if dispatches is None:
            return

        try:
            await hand_out(self, job_id, dispatches)
        except (OSError, TimeoutError, RedisConnectionError, RedisTimeoutError):
            logger.warning(
                "job %s: not handed on; the sweeper will",
                job_id,
                extra={"job_id": str(job_id)},
            )


def _dispatches(job_id: UUID) -> int | None:
    query = states.jobs().filter(pk=job_id).values_list("dispatches", flat=True)

    return query.first()


async def _until(worker: Worker, stop: asyncio.Event) -> None:
    """Run the worker until `stop`, then let its batches end. Raises what killed it."""
    running = asyncio.create_task(worker.async_run())
    stopping = asyncio.create_task(stop.wait())

    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)

        if running.done():
            running.result()

        worker.allow_pick_jobs = False
        slices = list(worker.tasks.values())

        if slices:
            await asyncio.wait(slices, timeout=GRACE_SECONDS)
    finally:
        left: list[asyncio.Task[Any]] = [running, stopping, *worker.tasks.values()]

        for task in left:
            task.cancel()

        await asyncio.wait(left)


@contextlib.asynccontextmanager
async def _connected(*, retries: int) -> AsyncIterator[ArqRedis]:
    redis = await create_pool(
        _redis_settings(retries=retries),
        job_serializer=_dumps,
        job_deserializer=orjson.loads,
        default_queue_name=QUEUE_NAME,
    )

    try:
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


def _dumps(value: Any) -> bytes:
    # arq puts exceptions into results; ours are only logged.
    return orjson.dumps(value, default=repr)


def _redis_settings(*, retries: int) -> RedisSettings:
    url = conf.current().redis_url
    assert url is not None  # conf.current() has checked it
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = 2
    settings.conn_retries = retries

    if retries:
        # A refused connection is an OSError in redis-py 5.
        settings.retry = Retry(ExponentialBackoff(cap=2.0, base=0.1), retries)
        settings.retry_on_error = [RedisConnectionError, RedisTimeoutError, OSError]

    return settings
