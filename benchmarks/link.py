"""A slow link, in threads of the benchmark: what is sent over it arrives later."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from .clients import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("slow_link",)


@contextlib.contextmanager
def slow_link(port: int, *, round_trip: float) -> Iterator[int]:
    """The port of a link to `port` that takes `round_trip` seconds there and back, and
    once more for each new connection, as TCP's handshake does."""
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

        # Who is on the way when it is over is gone with it.
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                _copy(reader, upstream[1], round_trip / 2),
                _copy(upstream[0], writer, round_trip / 2),
            )

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    loop, over, own = made[0]

    try:
        yield own
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    loop = asyncio.get_running_loop()

    # A piece does not wait for the one before it: they are on the way together.
    while piece := await reader.read(65536):
        loop.call_later(seconds, writer.write, piece)

    loop.call_later(seconds, writer.close)
