"""A plan becomes frames: every part in a task of one scope, out as it completes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings

from django_partstream import encoding, frames, offload
from django_partstream.errors import PartstreamError, PartTimeoutError
from django_partstream.problems import Problem

from .part import Lazy, Part

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

__all__ = ("Resolved", "Scope", "gone_problem", "resolve_all", "stream")

logger = logging.getLogger(__name__)

#: Runs a sync function off the loop.
RunSync = Callable[..., Awaitable[Any]]

#: The cursor that owes these names; None where nothing is owed.
Sign = Callable[[Iterable[str]], str | None]

#: How long the work of an ended stream may take to notice.
CLEANUP_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A part that was tried: its encoded data, or its problem. `ms` of its own work."""

    name: str
    ms: float
    data: Any = None
    problem: Problem | None = None

    def frame(self, cursor: str | None) -> frames.Part | frames.Error:
        if self.problem is None:
            return frames.Part(
                name=self.name, data=self.data, cursor=cursor, ms=self.ms
            )

        return frames.Error(
            name=self.name, error=self.problem, cursor=cursor, ms=self.ms
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the parts of one response are resolved with."""

    #: Handed to part functions and to serializers as their context.
    request: Any
    #: The request's thread is inside a transaction, whose rows parts must see: they
    #: all run there, one by one.
    in_transaction: bool = False
    max_running: int

    def run_sync(self, part: Part) -> RunSync:
        if self.holds_request_thread([part]):
            return offload.run_in_request_thread

        return offload.run_sync

    def holds_request_thread(self, parts: Iterable[Part]) -> bool:
        """Whether one of these runs in the thread of the request."""
        return self.in_transaction or any(
            isinstance(part.value, Lazy) and part.value.thread == "request"
            for part in parts
        )


async def resolve_all(parts: Sequence[Part], scope: Scope) -> list[Resolved]:
    """Resolve these parts at once; the results are in the order of `parts`."""
    async with asyncio.TaskGroup() as group:
        slots = asyncio.Semaphore(scope.max_running)
        tasks = [group.create_task(_resolve(part, scope, slots)) for part in parts]

    return [task.result() for task in tasks]


async def stream(
    parts: Sequence[Part],
    scope: Scope,
    *,
    sign: Sign,
    gone: Sequence[str] = (),
    deadline: float,
) -> AsyncGenerator[frames.Frame]:
    """The frames of these parts, from `start` to `end`.

    Values that are there leave before any lazy part is awaited, the others as they
    complete. `gone` are names that a cursor owes and the view no longer has: each
    becomes an error with code `gone`. After `deadline` seconds unfinished work is
    cancelled and the stream ends with a cursor that owes it. Closing the generator
    cancels all work. Raises nothing of the application's.
    """
    owed = dict.fromkeys(part.name for part in parts)
    failed = 0

    async with contextlib.AsyncExitStack() as stack:
        work = await stack.enter_async_context(_Work(parts, scope, deadline))
        yield frames.Start(parts=tuple(owed), cursor=sign(owed))

        for name in gone:
            failed += 1
            yield Resolved(name=name, ms=0.0, problem=gone_problem(name)).frame(
                sign(owed)
            )

        async for resolved in work.results():
            del owed[resolved.name]
            failed += resolved.problem is not None
            yield resolved.frame(sign(owed))

        yield frames.End(
            ok=len(parts) - len(owed) - (failed - len(gone)),
            failed=failed,
            cursor=sign(owed),
            reason=work.reason,
        )


class _Work:
    """The tasks of one stream. They end when this scope ends, whatever happens."""

    def __init__(self, parts: Sequence[Part], scope: Scope, deadline: float) -> None:
        self.reason: frames.EndReason = "complete"
        self._parts = parts
        self._scope = scope
        self._ends_at = asyncio.get_running_loop().time() + deadline
        self._running: set[asyncio.Task[Resolved]] = set()
        self._immediate: asyncio.Task[list[Resolved]] | None = None

    async def __aenter__(self) -> _Work:
        slots = asyncio.Semaphore(self._scope.max_running)
        ready = [part for part in self._parts if not isinstance(part.value, Lazy)]
        lazy = [part for part in self._parts if isinstance(part.value, Lazy)]
        self._immediate = asyncio.create_task(resolve_all(ready, self._scope))
        self._running = {
            asyncio.create_task(_resolve(part, self._scope, slots)) for part in lazy
        }

        return self

    async def __aexit__(self, *_: object) -> None:
        tasks: list[asyncio.Task[Any]] = [*self._running]

        if self._immediate is not None:
            tasks.append(self._immediate)

        for task in tasks:
            task.cancel()

        if tasks:
            await asyncio.wait(tasks, timeout=CLEANUP_SECONDS)

    async def results(self) -> AsyncIterator[Resolved]:
        assert self._immediate is not None  # set on entry

        for resolved in await self._immediate:
            yield resolved

        while self._running:
            done = await self._next()

            if not done:
                return

            self._running -= done

            for task in sorted(done, key=lambda task: task.result().ms):
                yield task.result()

    async def _next(self) -> set[asyncio.Task[Resolved]]:
        left = self._ends_at - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait(
            self._running, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED
        )

        if not done:
            self.reason = "deadline"

        return done


async def _resolve(part: Part, scope: Scope, slots: asyncio.Semaphore) -> Resolved:
    async with slots:
        started = time.perf_counter()
        problem: Problem | None = None
        data: Any = None

        try:
            data = await _within(part, scope)
        except asyncio.CancelledError:
            raise
        except PartTimeoutError as error:
            problem = _timed_out(part.name, error)
        except PartstreamError as error:
            logger.warning("part %r: %s", part.name, error, extra={"part": part.name})
            problem = _failed(part.name, error, code=error.code)
        except Exception as error:
            logger.exception("part %r failed", part.name, extra={"part": part.name})
            problem = _failed(part.name, error, code="failed")

        ms = round((time.perf_counter() - started) * 1000, 3)

        return Resolved(name=part.name, ms=ms, data=data, problem=problem)


async def _within(part: Part, scope: Scope) -> encoding.Encoded:
    timeout = part.value.timeout if isinstance(part.value, Lazy) else None

    try:
        async with asyncio.timeout(timeout) as limit:
            with offload.running_with(scope.run_sync(part), request=scope.request):
                return await _evaluate(part, scope)
    except TimeoutError as error:
        # The function's own TimeoutError is a failure like any other.
        if timeout is None or not limit.expired():
            raise

        raise PartTimeoutError(seconds=timeout) from error


async def _evaluate(part: Part, scope: Scope) -> encoding.Encoded:
    """The part's data, made and encoded off the loop, inside its own error boundary."""
    run_sync = scope.run_sync(part)
    value = part.value
    serializer = None

    if isinstance(value, Lazy):
        serializer = value.serializer
        arguments = (scope.request,) if value.takes_request else ()

        if not _is_async(value.fn):
            made = await run_sync(
                _call_and_encode, value.fn, arguments, serializer, scope.request
            )

            if isinstance(made, encoding.Encoded):
                return made

            value = made
        else:
            value = value.fn(*arguments)

    if inspect.isawaitable(value):
        value = await value

    if isinstance(value, AsyncIterator):
        value = await _collect(value)

    encoded: encoding.Encoded = await run_sync(
        _encode, value, serializer, scope.request
    )

    return encoded


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn)


def _call_and_encode(
    fn: Callable[..., Any],
    arguments: tuple[Any, ...],
    serializer: type[Any] | None,
    request: Any,
) -> Any:
    value = fn(*arguments)

    if inspect.isawaitable(value) or isinstance(value, AsyncIterator):
        return value

    return _encode(value, serializer, request)


def _encode(value: Any, serializer: type[Any] | None, request: Any) -> encoding.Encoded:
    if serializer is not None:
        many = not isinstance(value, Mapping) and isinstance(value, Iterable)
        value = serializer(value, many=many, context={"request": request})

    # A serializer is known by what it offers, so that this layer needs no DRF.
    if hasattr(value, "to_representation") and hasattr(value, "data"):
        value = value.data

    return encoding.Encoded(encoding.encode(value))


async def _collect(items: AsyncIterator[Any]) -> list[Any]:
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(items, "aclose"):
            stack.push_async_callback(items.aclose)

        return [item async for item in items]


def _failed(name: str, error: Exception, *, code: str) -> Problem:
    detail = "This part could not be made."

    if settings.DEBUG:
        detail = f"{type(error).__name__}: {error}"

    return Problem(status=500, code=code, detail=detail, extra={"part": name})


def _timed_out(name: str, error: PartTimeoutError) -> Problem:
    return Problem(
        status=error.status, code=error.code, detail=error.detail, extra={"part": name}
    )


def gone_problem(name: str) -> Problem:
    """Of a part that a cursor owes and the view no longer has."""
    return Problem(
        status=410,
        code="gone",
        detail="This part is no longer there.",
        extra={"part": name},
    )
