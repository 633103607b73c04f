"""A slow link, in threads of the benchmark: what is sent over it arrives later."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from typing import TYPE_CHECKING

from .clients import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("slow_link",)

#: About a packet: what a piece waits for is short.
PIECE_BYTES = 4096


@contextlib.contextmanager
def slow_link(port: int, *, round_trip: float, rate: float = math.inf) -> Iterator[int]:
    """The port of a link to `port` that takes `round_trip` seconds there and back, and
    once more for each new connection, as TCP's handshake does. All connections share
    `rate` bytes per second each way."""
    there, back = _Wire(round_trip / 2, rate), _Wire(round_trip / 2, rate)
    ready = threading.Event()
    made: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def serve() -> None:
        over = asyncio.Event()
        server = await asyncio.start_server(carry, HOST, 0)

        async with server:
            address = server.sockets[0].getsockname()
            made.append((asyncio.get_running_loop(), over, address[1]))
            ready.set()
            await over.wait()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(round_trip)
        upstream = await asyncio.open_connection(HOST, port)

        try:
            # Who is on the way when it is over is gone with it.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await asyncio.gather(
                    there.carry(reader, upstream[1]),
                    back.carry(upstream[0], writer),
                )
        finally:
            upstream[1].close()
            writer.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    loop, over, own = made[0]

    try:
        yield own
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


class _Wire:
    """One direction: a piece leaves when those before it have left, and arrives later.
    It does not wait until they have arrived: they are on the way together."""

    def __init__(self, seconds: float, rate: float) -> None:
        self._seconds = seconds
        self._rate = rate
        self._free_at = 0.0

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()

        while piece := await reader.read(PIECE_BYTES):
            self._free_at = max(self._free_at, loop.time()) + len(piece) / self._rate
            loop.call_at(self._free_at + self._seconds, writer.write, piece)
            # What waits to leave is with its sender still.
            await asyncio.sleep(self._free_at - loop.time())

        loop.call_later(self._seconds, writer.close)
