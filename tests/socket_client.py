"""The other end of one socket, in this process, for an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from tests.forms import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

__all__ = ("Client", "connect")


class Client:
    """Says what a client would say, and hears what it would hear."""

    def __init__(self) -> None:
        self.accepted: dict[str, Any] | None = None
        self.closed: dict[str, Any] | None = None
        #: While clear, the server's sends wait, as for a peer that does not read.
        self.reads = asyncio.Event()
        self.reads.set()
        #: Raised by the server's sends.
        self.error: Exception | None = None
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()

        if self.error is not None:
            raise self.error

        self._from_server.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        return await self._to_server.get()

    def does(self, event: dict[str, Any]) -> None:
        self._to_server.put_nowait(event)

    def says(self, *messages: Any) -> None:
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self.does({"type": "websocket.receive", "text": text})

    def leaves(self, code: int = 1001) -> None:
        self.does({"type": "websocket.disconnect", "code": code})

    async def hears(self) -> Any:
        """The next message, or `(code, reason)` where the socket was closed."""
        async with asyncio.timeout(PATIENCE):
            event = await self._from_server.get()

        if event["type"] == "websocket.close":
            self.closed = event
            return event["code"], event["reason"]

        return json.loads(event["text"])

    async def hears_all(self, count: int) -> list[Any]:
        return [await self.hears() for _ in range(count)]

    @property
    def unheard(self) -> int:
        return self._from_server.qsize()


@contextlib.asynccontextmanager
async def connect(
    application: Any,
    *,
    subprotocols: Iterable[str] = ("graphql-transport-ws",),
    headers: Iterable[tuple[bytes, bytes]] = (),
    path: str = "/ws/partstream/",
    init: bool = True,
    **scope: Any,
) -> AsyncIterator[Client]:
    """An accepted socket; unless `init=False`, acknowledged as well.

    The client leaves at the end, and the application must return then.
    """
    client = Client()
    handshake = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "subprotocols": list(subprotocols),
        **scope,
    }
    server = asyncio.create_task(application(handshake, client.receive, client.send))

    try:
        client.does({"type": "websocket.connect"})

        if init:
            # At once: the server waits for it no longer than it is told to.
            client.says({"type": "connection_init"})

        async with asyncio.timeout(PATIENCE):
            client.accepted = await client._from_server.get()

        if init:
            assert await client.hears() == {"type": "connection_ack"}

        yield client
        client.leaves()

        async with asyncio.timeout(PATIENCE):
            await server
    finally:
        server.cancel()
        await asyncio.wait([server])
