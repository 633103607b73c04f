"""A response that is a stream of frames, in whichever framing.

    producer → frames → framing → outbox → the server

How a frame becomes bytes is the framing's: `ndjson`, `sse`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING, Any, Protocol

from django.http.response import HttpResponseBase

from django_partstream import conf, frames

from . import ndjson
from .outbox import Outbox
from .request_thread import close_connections, end_thread
from .shutdown import until_shutdown

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        AsyncIterator,
        Callable,
        Iterator,
    )

__all__ = ("FrameResponse", "Framing", "Limits")

logger = logging.getLogger(__name__)

#: A stream that lasts so long holds no thread any more, nor connections; of one that is
#: over before, they are given back as those of any request.
LASTING_SECONDS = 0.02


class Framing(Protocol):
    """How frames stand on the wire; a module of this package is one."""

    @property
    def CONTENT_TYPE(self) -> str: ...  # noqa: N802 - modules have constants

    def framed(self, frame: frames.Frame) -> bytes: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one stream may ask of its server. Seconds, and frames."""

    #: After so long without a frame there is a `ping`.
    heartbeat: float
    #: A client that takes nothing for so long is dropped.
    send_timeout: float
    #: Frames that wait for the client before the producer waits too.
    queue_frames: int

    @classmethod
    def default(cls) -> Limits:
        settings = conf.current()

        return cls(
            heartbeat=settings.heartbeat_seconds,
            send_timeout=settings.send_timeout_seconds,
            queue_frames=settings.stream_queue_frames,
        )


class FrameResponse(HttpResponseBase):
    """A stream of frames over HTTP.

    `frames()` hands the frames out as values, once, for a transport that has a
    framing of its own; iterating the response writes them in `framing`. Either way
    the producer is closed with its consumer: Django's own streaming response wraps
    the iterator in a generator that nobody closes when a client leaves. `on_begin`
    is called before the first frame is made, when the headers have left; `on_close`
    when the response is closed or was sent: perhaps twice, and from another thread.

    Whatever the producer raises is logged and cuts the stream, without an `end`, so
    that the client resumes: an exception would break the framing as well.
    """

    streaming = True
    is_async = True

    def __init__(
        self,
        producer: AsyncGenerator[frames.Frame],
        *,
        framing: Framing = ndjson,
        limits: Limits | None = None,
        holds_request_thread: bool = False,
        on_begin: Callable[[], None] | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._begun = False
        super().__init__(content_type=framing.CONTENT_TYPE)
        #: The producer calls functions in the thread of the request, which a socket
        #: would otherwise give back before the first frame.
        self.holds_request_thread = holds_request_thread
        self._producer = producer
        self._framing = framing
        self._limits = limits or Limits.default()
        self._on_begin = on_begin
        self._on_close = on_close
        self._taken = False
        self._content: AsyncIterable[bytes] | None = None
        self._end: Callable[[], None] | None = None
        self["Cache-Control"] = "no-store, no-transform"
        self["X-Accel-Buffering"] = "no"
        self["Vary"] = "Accept"
        # GZipMiddleware leaves alone what is encoded already; it would make each
        # frame a gzip member of its own, which most clients cannot read.
        self["Content-Encoding"] = "identity"

    def __setitem__(self, header: str, value: str | bytes | int) -> None:
        self._refuse_when_begun(f"the header {header!r}")
        super().__setitem__(header, value)

    def __delitem__(self, header: str) -> None:
        self._refuse_when_begun(f"the header {header!r}")
        super().__delitem__(header)

    def set_cookie(self, key: str, *args: Any, **kwargs: Any) -> None:
        self._refuse_when_begun(f"the cookie {key!r}")
        super().set_cookie(key, *args, **kwargs)

    def _refuse_when_begun(self, what: str) -> None:
        if self._begun:
            raise RuntimeError(
                f"It is too late for {what}: the headers of a stream have left before "
                "its parts are made. Do it in get_parts() or in middleware."
            )

    def frames(self) -> AsyncGenerator[frames.Frame]:
        """The producer. Whoever takes it closes it. Raises RuntimeError when it was
        taken before."""
        if self._taken:
            raise RuntimeError("The frames of this response were taken already.")

        self._taken = self._begun = True

        if self._on_begin is not None:
            self._on_begin()

        return self._producer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.streaming_content)

    @property
    def streaming_content(self) -> AsyncIterable[bytes]:
        """The bytes. Middleware may put something in their place."""
        if self._content is None:
            self._content = self._blocks()

        return self._content

    @streaming_content.setter
    def streaming_content(self, content: AsyncIterable[bytes]) -> None:
        self._content = content

    def close(self) -> None:
        """End the work, also where the iterator was left alone by whoever wrapped it.
        To be called from any thread."""
        if self._end is not None:
            self._end()

        self._let_go()
        super().close()

    def _let_go(self) -> None:
        if self._on_close is not None:
            self._on_close()

    async def _blocks(self) -> AsyncGenerator[bytes]:
        outbox = Outbox(self._limits.queue_frames)
        pump = asyncio.create_task(_pump(self.frames(), self._framing, outbox))
        # However it ends: its reader must not wait for more.
        pump.add_done_callback(lambda _: outbox.close())
        self._end = _from_any_thread(pump.cancel)
        tasks = {pump}

        if not self.holds_request_thread:
            detached = asyncio.create_task(_detached())
            detached.add_done_callback(tasks.discard)
            tasks.add(detached)
            del detached

        try:
            while block := await self._next(outbox):
                with self._within_send_timeout(pump, outbox):
                    yield block
        finally:
            self._end = None

            for task in tasks:
                task.cancel()

            await asyncio.wait(tasks)
            self._let_go()

    async def _next(self, outbox: Outbox) -> bytes:
        if await outbox.is_ready_within(self._limits.heartbeat):
            return await outbox.take()

        return self._framing.framed(frames.Ping())

    @contextlib.contextmanager
    def _within_send_timeout(
        self, pump: asyncio.Task[None], outbox: Outbox
    ) -> Iterator[None]:
        """Around a `yield`, which comes back when the server has taken the block. A
        server that has too much for its client does not take it, for as long as the
        client pleases."""
        sender = asyncio.current_task()

        def drop() -> None:
            logger.warning(
                "a client took nothing for %g s and was dropped",
                self._limits.send_timeout,
            )
            pump.cancel()
            outbox.discard()

            # To Django's handler this is a client that has left. Elsewhere the task
            # is somebody's own.
            if sender is not None and getattr(self, "_handler_class", None):
                sender.cancel()

        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._limits.send_timeout, drop)

        try:
            yield
        finally:
            timer.cancel()


async def _detached() -> None:
    """Let go of what the request had before its stream."""
    await asyncio.sleep(LASTING_SECONDS)

    if await close_connections():
        end_thread()


def _from_any_thread(call: Callable[[], object]) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def on_the_loop() -> None:
        # RuntimeError: the loop is closed, and nothing runs on it any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

    return on_the_loop


async def _pump(
    producer: AsyncGenerator[frames.Frame], framing: Framing, outbox: Outbox
) -> None:
    try:
        async with contextlib.aclosing(until_shutdown(producer)) as stream:
            async for frame in stream:
                await outbox.put(framing.framed(frame))

                is_first = isinstance(frame, frames.Start)
                # It may be large, and the next one hours away.
                del frame

                if is_first:
                    # It leaves before the work begins that it announces.
                    await asyncio.sleep(0)
    except Exception:
        logger.exception("a stream was cut by an error in its producer")
