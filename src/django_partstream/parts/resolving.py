"""One part is tried. Whatever its code does, what comes out is `Resolved`."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Literal

from django_partstream import offload
from django_partstream.errors import PartstreamError, PartTimeoutError

from .observer import PartEvent, is_observed, notify, watch_cache
from .outcome import Resolved, failed_problem, timeout_problem
from .part import Lazy, Part
from .value import evaluate, plain_data

if TYPE_CHECKING:
    from django_partstream.encoding import Encoded
    from django_partstream.problems import Problem

    from .feed import Feed
    from .scope import Scope

__all__ = ("resolve", "resolve_at_once")

logger = logging.getLogger(__name__)


async def resolve(part: Part, scope: Scope, feed: Feed) -> Resolved:
    """Try the part. A list's items go into `feed`, and only their count is returned.

    Raises nothing but CancelledError, and that only where the task is cancelled.
    """
    started = time.perf_counter()
    data: Encoded | None = None
    problem: Problem | None = None
    _tell(part, scope, "started")

    def ms() -> float:
        return round((time.perf_counter() - started - feed.waited) * 1000, 3)

    running = offload.running_with(scope.run_sync(part), request=scope.request)

    with watch_cache() as marks, running:
        try:
            data = await _within(part, scope, feed)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()

            if task is None or task.cancelling():
                _tell(part, scope, "cancelled", ms=ms())
                raise

            # The part's own: it awaited something that was cancelled.
            problem = _problem(part, error)
        # The second would end the process.
        except (Exception, SystemExit) as error:
            problem = _problem(part, error)

    took = ms()
    listed = data is None and problem is None
    _tell(
        part,
        scope,
        "failed" if problem else "finished",
        ms=took,
        cached=bool(marks),
        code=problem.code if problem else None,
    )

    return Resolved(
        name=part.name,
        ms=took,
        data=data,
        count=feed.count if listed else None,
        problem=problem,
    )


def resolve_at_once(part: Part, scope: Scope) -> Resolved | None:
    """What becomes of a value that is plain data, and small; None of any other."""
    started = time.perf_counter()
    data = plain_data(part.value)

    if data is None:
        return None

    ms = round((time.perf_counter() - started) * 1000, 3)
    _tell(part, scope, "started")
    _tell(part, scope, "finished", ms=ms)

    return Resolved(name=part.name, ms=ms, data=data)


async def _within(part: Part, scope: Scope, feed: Feed) -> Encoded | None:
    timeout = part.value.timeout if isinstance(part.value, Lazy) else None

    if timeout is None:
        return await evaluate(part, scope.request, feed)

    try:
        async with asyncio.timeout(timeout) as limit:
            feed.limit = limit
            return await evaluate(part, scope.request, feed)
    except TimeoutError as error:
        # The function's own TimeoutError is a failure like any other.
        if not limit.expired():
            raise

        raise PartTimeoutError(seconds=timeout) from error


def _problem(part: Part, error: BaseException) -> Problem:
    extra = {"part": part.name}

    match error:
        case PartTimeoutError():
            return timeout_problem(part.name, error)
        case PartstreamError():
            logger.warning("part %r: %s", part.name, error, extra=extra)
            return failed_problem(part.name, error, code=error.code)
        case _:
            logger.error("part %r failed", part.name, exc_info=error, extra=extra)
            return failed_problem(part.name, error, code="failed")


def _tell(
    part: Part,
    scope: Scope,
    kind: Literal["started", "finished", "failed", "cancelled"],
    **more: Any,
) -> None:
    if is_observed():
        notify(PartEvent(kind=kind, view=scope.view, part=part.name, **more))
