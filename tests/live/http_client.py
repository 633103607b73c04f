"""The other end of one HTTP stream, in this process, for an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from tests.forms import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ("Stream", "opened")


class Stream:
    """Hears the frames of an NDJSON stream, or of one of events, as they come."""

    def __init__(self) -> None:
        self.status = 0
        self._left = asyncio.Event()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._text = b""
        self._lines: list[bytes] = []
        self._ended = False

    async def send(self, event: dict[str, Any]) -> None:
        self._events.put_nowait(event)

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()

        return {"type": "http.disconnect"}

    def leaves(self) -> None:
        self._left.set()

    async def begins(self) -> None:
        async with asyncio.timeout(PATIENCE):
            self.status = (await self._events.get())["status"]

    async def hears(self) -> Any:
        """The next frame, pings apart; None at the end."""
        while True:
            while not self._lines:
                if self._ended:
                    return None

                async with asyncio.timeout(PATIENCE):
                    event = await self._events.get()

                self._text += event.get("body", b"")
                *lines, self._text = self._text.split(b"\n")
                self._lines += filter(None, map(_frame, lines))
                self._ended = not event.get("more_body")

            frame = json.loads(self._lines.pop(0))

            if frame["type"] != "ping":
                return frame

    async def hears_until(self, kind: str) -> list[Any]:
        """The frames up to the first of this type, which is among them."""
        heard = [await self.hears()]

        while heard[-1] is not None and heard[-1]["type"] != kind:
            heard.append(await self.hears())

        return heard

    @property
    def unheard(self) -> int:
        return self._events.qsize() + len(self._lines)


def _frame(line: bytes) -> bytes:
    """The frame in a line; nothing for an event's name, its id or its end."""
    if line.startswith((b"event: ", b"id: ")):
        return b""

    return line.removeprefix(b"data: ")


@contextlib.asynccontextmanager
async def opened(
    application: Any,
    url: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    accept: bytes = b"application/x-ndjson",
) -> AsyncIterator[Stream]:
    """A stream whose status has come. The client leaves at the end, and the
    application must return then."""
    path, _, query = url.partition("?")
    stream = Stream()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"testserver"), (b"accept", accept), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }
    requested = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not requested.is_set():
            requested.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        return await stream.receive()

    server = asyncio.create_task(application(scope, receive, stream.send))

    try:
        await stream.begins()
        yield stream
        stream.leaves()

        async with asyncio.timeout(PATIENCE):
            await server
    finally:
        server.cancel()
        await asyncio.wait([server])
