"""Jobs on arq workers. The only module that imports arq.

arq delivers at least once, late, or not at all; here it carries ids and nothing else,
each message under an id of its own, and keeps no results. Its workers run as
`manage.py partstream_worker`, or as any others of arq's:

    arq django_partstream.jobs.arq_queue.WorkerSettings
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import orjson
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.worker import Worker, func
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from django_partstream import conf, offload

from . import standalone, states
from .bench import Bench, open_bench
from .execute import SliceEnd
from .queue import GRACE_SECONDS
from .sweeper import hand_out, sweeping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arq.typing import WorkerCoroutine

    from .queue import Queue

__all__ = ("FUNCTION", "QUEUE_NAME", "ArqQueue")

assert standalone  # before the models, which `states` imports

logger = logging.getLogger(__name__)

QUEUE_NAME = "partstream:queue"
FUNCTION = "partstream_slice"

#: arq runs a message again this long (and 10 s) after its worker died; our own sweeper
#: is quicker. It must be longer than a slice.
ARQ_TIMEOUT_SECONDS = 120

#: A message comes back once for each worker that was stopped at it. Never the end of a
#: job: the row counts what it has tried.
ARQ_TRIES = 1_000

PUBLISH_TIMEOUT_SECONDS = 3.0

#: After a Redis that did not answer, nobody waits for it for so long.
DOWN_SECONDS = 5.0

#: Where the connection to Redis breaks at the same moment, what is below arq may lose a
#: cancellation; without messages to take, arq's worker would then poll for ever.
CANCEL_AGAIN_SECONDS = 1.0

CONNECT_SECONDS = 2
ANSWER_SECONDS = 5.0

BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)


class ArqQueue:
    """Messages in Redis, taken by `partstream_worker` processes or by arq's."""

    def __init__(self) -> None:
        self._down_until = 0.0

    async def publish(self, job_id: UUID, message_id: str) -> None:
        if time.monotonic() < self._down_until:
            raise RedisConnectionError("Redis did not answer a moment ago.")

        # A connection for each of these rare messages: nothing to share between
        # threads and loops, nothing to leak.
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                async with _connected(retries=0) as redis:
                    await redis.enqueue_job(FUNCTION, str(job_id), _job_id=message_id)
        except TimeoutError:
            # One request waits for it, not each.
            self._down_until = time.monotonic() + DOWN_SECONDS
            raise

    async def ping(self) -> None:
        async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS), _connected(retries=0):
            pass  # it has been asked when the connection is open

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with sweeping(self):
            yield

    async def work(
        self,
        stop: asyncio.Event,
        *,
        concurrency: int,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        async with (
            sweeping(self),
            open_bench(stop, threads=concurrency, grace_seconds=grace_seconds) as bench,
        ):
            await self._keep_working(bench, concurrency)

    async def _keep_working(self, bench: Bench, concurrency: int) -> None:
        """Run arq workers, one after another: arq's own dies when Redis restarts.
        While Redis is away the table is the queue."""
        failures = 0

        while not bench.stop.is_set():
            try:
                async with _connected(retries=5) as redis:
                    failures = 0
                    await _until(self._worker(redis, bench, concurrency), bench.stop)
            except Exception as error:
                delay = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                failures += 1
                logger.warning(
                    "the arq worker died (%s: %s); a new one starts in %s s",
                    type(error).__name__,
                    error,
                    delay,
                )
                await _work_from_table(bench, concurrency, delay)

    def _worker(self, redis: ArqRedis, bench: Bench, concurrency: int) -> Worker:
        return Worker(
            **_options(),
            redis_pool=redis,
            handle_signals=False,
            max_jobs=concurrency,
            ctx={"queue": self, "bench": bench},
        )


async def _work_from_table(bench: Bench, concurrency: int, seconds: float) -> None:
    ends_at = time.monotonic() + seconds

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(
                bench.take_turns(until=lambda: time.monotonic() >= ends_at)
            )


async def _slice(context: dict[Any, Any], job_id: str) -> None:
    """What arq runs: one slice, and the next one handed out. When arq cancels it, as at
    SIGTERM, the message goes back to arq, and another worker takes it."""
    bench: Bench = context["bench"]
    own = UUID(job_id)

    # A message says that there is work; whose turn it is, the table says. The job of
    # the message is looked at too: somebody may have been faster with the other.
    for chosen in dict.fromkeys((await _whose_turn(own), own)):
        end = await bench.work_on(chosen)

        if end is SliceEnd.RELEASED:
            await _hand_on(context["queue"], chosen)

        if end is not SliceEnd.NOT_CLAIMED:
            return


async def _whose_turn(own: UUID) -> UUID:
    try:
        return await offload.run_sync(states.waiting) or own
    except (DatabaseError, InterfaceError):
        return own


async def _hand_on(queue: Queue, job_id: UUID) -> None:
    try:
        dispatches = await offload.run_sync(_dispatches, job_id)

        if dispatches is not None:
            await hand_out(queue, job_id, dispatches)
    except Exception as error:
        logger.warning(
            "job %s: not handed on (%r); a sweeper will",
            job_id,
            error,
            extra={"job_id": str(job_id)},
        )


def _dispatches(job_id: UUID) -> int | None:
    query = states.jobs().filter(pk=job_id).values_list("dispatches", flat=True)

    return query.first()


def _dumps(value: Any) -> bytes:
    # arq puts exceptions into results; ours are only logged.
    return orjson.dumps(value, default=repr)


def _options() -> dict[str, Any]:
    """What every worker of arq's is made with, whoever makes it."""
    return {
        "functions": [
            func(
                cast("WorkerCoroutine", _slice),
                name=FUNCTION,
                keep_result=0,
                timeout=ARQ_TIMEOUT_SECONDS,
                max_tries=ARQ_TRIES,
            )
        ],
        "queue_name": QUEUE_NAME,
        "keep_result": 0,
        "max_tries": ARQ_TRIES,
        "job_timeout": ARQ_TIMEOUT_SECONDS,
        "allow_abort_jobs": False,
        "job_serializer": _dumps,
        "job_deserializer": orjson.loads,
        "log_results": False,
        "poll_delay": 0.2,
    }


async def _until(worker: Worker, stop: asyncio.Event) -> None:
    """Run the worker until `stop`, then let its slices end, which know of it. Raises
    what killed it."""
    running = asyncio.create_task(worker.async_run())
    stopping = asyncio.create_task(stop.wait())

    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)

        if running.done():
            running.result()

        worker.allow_pick_jobs = False

        if worker.tasks:
            await asyncio.wait([*worker.tasks.values()])
    finally:
        left: list[asyncio.Task[Any]] = [running, stopping, *worker.tasks.values()]

        # arq's own task is one more, which outlives who waits for it.
        if worker.main_task is not None:
            left.append(worker.main_task)

        for task in left:
            task.cancel()

        while not all(task.done() for task in left):
            await asyncio.wait(left, timeout=CANCEL_AGAIN_SECONDS)

            # But not the slices, which have a grace.
            if worker.main_task is not None:
                worker.main_task.cancel()


@contextlib.asynccontextmanager
async def _connected(*, retries: int) -> AsyncIterator[ArqRedis]:
    # arq gives its connections no time limit, so that one that died silently would
    # be waited for.
    async with asyncio.timeout(ANSWER_SECONDS):
        redis = await create_pool(
            _redis_settings(retries=retries),
            job_serializer=_dumps,
            job_deserializer=orjson.loads,
            default_queue_name=QUEUE_NAME,
        )

    try:
        pool: Any = redis.connection_pool
        pool.connection_kwargs["socket_timeout"] = ANSWER_SECONDS
        await pool.disconnect()
        pool.reset()
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)


def _redis_settings(*, retries: int) -> RedisSettings:
    url = conf.current().redis_url
    assert url is not None  # conf.current() has checked it
    settings = RedisSettings.from_dsn(url)
    settings.conn_timeout = CONNECT_SECONDS
    settings.conn_retries = 0

    if retries:
        # A refused connection is an OSError in redis-py 5. One that says nothing is not
        # asked again: each time would take ANSWER_SECONDS.
        backoff = ExponentialBackoff(cap=2.0, base=0.1)
        errors = (RedisConnectionError,)
        settings.retry = Retry(backoff, retries, supported_errors=errors)
        settings.retry_on_error = [*errors, OSError]

    return settings


def __getattr__(name: str) -> Any:
    # Made when arq asks for it: it needs the settings, and this module does not.
    if name == "WorkerSettings":
        return type(name, (), _settings_of_a_plain_worker())

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _settings_of_a_plain_worker() -> dict[str, Any]:
    """What the command `arq` runs: one job at a time, until SIGTERM or SIGINT. While
    Redis is away for longer than a minute or two, arq ends it."""
    if conf.current().redis_url is None:
        raise ImproperlyConfigured(
            "PARTSTREAM['REDIS_URL'] is not set, and an arq worker needs it. Set it, "
            "for example to 'redis://localhost:6379/0'."
        )

    stack = contextlib.AsyncExitStack()

    async def start(context: dict[Any, Any]) -> None:
        stop = asyncio.Event()
        _end_gently(stop)
        queue = context["queue"] = ArqQueue()
        await stack.enter_async_context(sweeping(queue))
        context["bench"] = await stack.enter_async_context(open_bench(stop, threads=1))

    async def end(_: dict[Any, Any]) -> None:
        await stack.aclose()

    return {
        **_options(),
        "redis_settings": _redis_settings(retries=60),
        "max_jobs": 1,
        "on_startup": start,
        "on_shutdown": end,
    }


def _end_gently(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT end the arq worker whose own task this is; a second one
    ends its process at once.

    arq's handlers cancel what runs a message, wherever it is. Cancelled while it tells
    Redis of a slice that has just ended, it fails the whole worker, which then exits 1
    and leaves open what `on_shutdown` would close. Ours tell the slices, and arq waits
    for them when it closes.
    """
    worker = asyncio.current_task()
    assert worker is not None  # arq awaits `on_startup` in it
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def cancel() -> None:
        if not worker.done():
            worker.cancel()
            loop.call_later(CANCEL_AGAIN_SECONDS, cancel)

    def on_signal() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

        logger.info("the slice in hand ends, then the worker")
        stop.set()
        cancel()

    for number in signals:
        loop.add_signal_handler(number, on_signal)
