"""The end of the process, made known to streams and sockets before it comes.

A server that is told to stop closes its sockets, or waits for its streams for ever.
So the signal is held back for as long as it takes them to say goodbye, which is
bounded, and then handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from django_partstream import frames

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

__all__ = (
    "GRACE_SECONDS",
    "Shutdown",
    "Watched",
    "chained_signals",
    "current",
    "until_shutdown",
)

#: How long streams and sockets have for their goodbye.
GRACE_SECONDS = 3.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """What the streams of one event loop know of the end of their process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._watchers: dict[object, Callable[[], None]] = {}
        self._then: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when the end has been requested."""
        await self._event.wait()

    @contextlib.contextmanager
    def watch(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Call `interrupt` when the end is requested, at once if it has been. The end
        waits, within bounds, until this scope is left."""
        key = object()
        self._watchers[key] = interrupt

        try:
            if self.requested:
                interrupt()

            yield
        finally:
            del self._watchers[key]

            # Not here and now: what comes then may raise, and is not this stream's.
            if not self._watchers and self._then is not None:
                self._loop.call_soon(self._finish)

    def request(self, then: Callable[[], None]) -> None:
        """Interrupt every watcher, and call `then` once: when the last one has left,
        or after `GRACE_SECONDS`. To be called on the loop."""
        if self.requested:
            then()
            return

        self._event.set()
        self._then = then
        grace = GRACE_SECONDS if self._watchers else 0
        self._timer = self._loop.call_later(grace, self._finish)

        for interrupt in tuple(self._watchers.values()):
            interrupt()

    def _finish(self) -> None:
        then, self._then = self._then, None

        if self._timer is not None:
            self._timer.cancel()

        if then is not None:
            then()


_current: dict[asyncio.AbstractEventLoop, Shutdown] = {}


def current() -> Shutdown:
    """The object of the running loop, which is that of the process."""
    loop = asyncio.get_running_loop()

    if loop not in _current:
        for closed in [other for other in _current if other.is_closed()]:
            del _current[closed]

        _current[loop] = Shutdown()

    return _current[loop]


async def until_shutdown(
    producer: AsyncGenerator[frames.Frame],
) -> AsyncGenerator[frames.Frame]:
    """The frames of `producer`, as `Watched` has them."""
    async with Watched(producer) as watched:
        async for frame in watched:
            yield frame
            del frame


class Watched:
    """The frames of `producer`, which is closed at the end, to be entered and iterated.

    When the process is to end, the producer is cancelled, and an `end` with reason
    `shutdown` and the newest cursor stands in place of what it still had to say.

    Every frame of every stream is waited for here: so the wait is interrupted in the
    way of `asyncio.timeout`, and at a fraction of its price.
    """

    __slots__ = (
        "_cursor",
        "_ended",
        "_failed",
        "_interrupted",
        "_producer",
        "_shutdown",
        "_task",
        "_watch",
    )

    def __init__(self, producer: AsyncGenerator[frames.Frame]) -> None:
        self._producer = producer
        self._shutdown = current()
        self._watch = self._shutdown.watch(self._interrupt)
        #: Who waits for the next frame.
        self._task: asyncio.Task[Any] | None = None
        self._interrupted = False
        self._ended = False
        #: By name: a live stream sends a part again.
        self._failed: dict[str, bool] = {}
        self._cursor: str | None = None

    async def __aenter__(self) -> Self:
        self._watch.__enter__()

        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._producer.aclose()
        finally:
            self._watch.__exit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> frames.Frame:
        if self._ended:
            raise StopAsyncIteration

        if self._shutdown.requested:
            return await self._goodbye()

        task = self._task = asyncio.current_task()
        assert task is not None  # whatever awaits is in one
        cancelling = task.cancelling()

        frame: frames.Frame | None = None

        try:
            frame = await anext(self._producer)
        except asyncio.CancelledError:
            # Unless somebody else wants the task to end as well.
            if not self._interrupted or task.cancelling() - 1 > cancelling:
                raise
        finally:
            self._task = None

            if self._interrupted:
                task.uncancel()

        if frame is None:
            return await self._goodbye()

        # Of a job there are many, and nothing to keep of them.
        if type(frame) is not frames.Progress:
            self._note(frame)

        return frame

    def _interrupt(self) -> None:
        if self._task is not None and not self._interrupted:
            self._interrupted = True
            self._task.cancel()

    def _note(self, frame: frames.Frame) -> None:
        match frame:
            case frames.Start():
                self._cursor = frame.cursor
            case frames.Part() | frames.Error():
                self._failed[frame.name] = isinstance(frame, frames.Error)
                self._cursor = frame.cursor
            case frames.End():
                self._ended = True

    async def _goodbye(self) -> frames.End:
        self._ended = True
        await self._producer.aclose()
        failed = sum(self._failed.values())

        return frames.End(
            ok=len(self._failed) - failed,
            failed=failed,
            cursor=self._cursor,
            reason="shutdown",
        )


@contextlib.contextmanager
def chained_signals(shutdown: Shutdown) -> Iterator[None]:
    """Let `shutdown` have SIGTERM and SIGINT first, and the server after it.

    A second signal goes straight to the server. Does nothing outside the main
    thread, where there are no signals to be had. A server that listens for signals
    through its loop instead hears them at the same time as we do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    loop = asyncio.get_running_loop()
    previous = {
        number: handler
        for number in SIGNALS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }

    def handle(number: int, _frame: Any) -> None:
        then = functools.partial(_hand_on, previous[signal.Signals(number)], number)

        if shutdown.requested or loop.is_closed():
            then()
        else:
            loop.call_soon_threadsafe(shutdown.request, then)

    for number in previous:
        signal.signal(number, handle)

    try:
        yield
    finally:
        for number, handler in previous.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


def _hand_on(handler: Any, number: int) -> None:
    if callable(handler):
        handler(number, None)
        return

    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
