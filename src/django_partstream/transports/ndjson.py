"""Frames as lines: `application/x-ndjson`, one frame a line, flushed as it is made."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from django.http.response import HttpResponseBase

from django_partstream import conf, encoding, frames

from .shutdown import until_shutdown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

__all__ = ("CONTENT_TYPE", "FrameResponse")

CONTENT_TYPE = "application/x-ndjson"

#: Frames that wait for the client; the producer waits when there are as many.
QUEUE_SIZE = 16
#: Frames that are ready at once share a write of about this size.
WRITE_BYTES = 64 * 1024

logger = logging.getLogger(__name__)


class FrameResponse(HttpResponseBase):
    """A stream of frames over HTTP.

    `frames()` hands the frames out as values, once, for a transport that has a
    framing of its own; iterating the response writes them as lines. Either way the
    producer is closed with its consumer: Django's own streaming response wraps the
    iterator in a generator that nobody closes when a client leaves.
    """

    streaming = True
    is_async = True

    def __init__(
        self,
        producer: AsyncGenerator[frames.Frame],
        *,
        holds_request_thread: bool = False,
    ) -> None:
        super().__init__(content_type=CONTENT_TYPE)
        #: The producer calls functions in the thread of the request, which a socket
        #: would otherwise give back before the first frame.
        self.holds_request_thread = holds_request_thread
        self._producer = producer
        self._taken = False
        self._content: AsyncIterable[bytes] | None = None
        self["Cache-Control"] = "no-store, no-transform"
        self["X-Accel-Buffering"] = "no"
        self["Vary"] = "Accept"
        # GZipMiddleware leaves alone what is encoded already; it would make each
        # frame a gzip member of its own, which most clients cannot read.
        self["Content-Encoding"] = "identity"

    def frames(self) -> AsyncGenerator[frames.Frame]:
        """The producer. Whoever takes it closes it. Raises RuntimeError when it was
        taken before."""
        if self._taken:
            raise RuntimeError("The frames of this response were taken already.")

        self._taken = True

        return self._producer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self.streaming_content)

    @property
    def streaming_content(self) -> AsyncIterable[bytes]:
        """The lines. Middleware may put something in their place."""
        if self._content is None:
            self._content = self._lines()

        return self._content

    @streaming_content.setter
    def streaming_content(self, content: AsyncIterable[bytes]) -> None:
        self._content = content

    async def _lines(self) -> AsyncGenerator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_SIZE)
        heartbeat = conf.current().heartbeat_seconds
        pump = asyncio.create_task(_pump(self.frames(), queue))

        try:
            while True:
                try:
                    async with asyncio.timeout(heartbeat):
                        line = await queue.get()
                except TimeoutError:
                    yield encoding.encode_frame(frames.Ping()) + b"\n"
                    continue

                if line is None:
                    return

                block, ended = _ready(line, queue)
                yield block

                if ended:
                    return
        finally:
            pump.cancel()
            await asyncio.wait([pump])


def _ready(first: bytes, queue: asyncio.Queue[bytes | None]) -> tuple[bytes, bool]:
    """This line and those that wait behind it, and whether the stream ends there."""
    block = bytearray(first)

    while len(block) < WRITE_BYTES and not queue.empty():
        line = queue.get_nowait()

        if line is None:
            return bytes(block), True

        block += line

    return bytes(block), False


async def _pump(
    producer: AsyncGenerator[frames.Frame], queue: asyncio.Queue[bytes | None]
) -> None:
    try:
        async with contextlib.aclosing(until_shutdown(producer)) as stream:
            async for frame in stream:
                await queue.put(encoding.encode_frame(frame) + b"\n")
    except Exception:
        # The status was sent long ago. A stream without `end` tells the client that
        # it was cut; an exception would only break the framing as well.
        logger.exception("a stream was cut by an error in its producer")

    await queue.put(None)
