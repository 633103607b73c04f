"""Real servers of the live views, and real clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import websockets

from asgi_example import ports
from asgi_example.processes import Process, Site
from tests.forms import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, kw_only=True)
class Server:
    """uvicorn, listening."""

    port: int
    process: Process

    @property
    def socket_url(self) -> str:
        return f"ws://{ports.HOST}:{self.port}/ws/partstream/"

    def url(self, path: str) -> str:
        return f"http://{ports.HOST}:{self.port}{path}"

    async def asks(self, path: str) -> Any:
        async with httpx.AsyncClient() as client:
            response = await client.get(self.url(path), timeout=PATIENCE)

        assert response.status_code == 200, response.content

        return response.json() if response.content else None

    async def ended(self) -> None:
        await asyncio.to_thread(self.process.wait_for_end)

    async def start_again(self) -> None:
        self.process.start()
        await asyncio.to_thread(
            self.process.wait_until_logged, "Uvicorn running", seconds=60
        )


@contextlib.contextmanager
def serving(
    *sites: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Iterator[list[Server]]:
    """A server for each of these settings of Django's; they start at once."""
    servers: list[Server] = []

    with Site() as processes:
        for number, site in enumerate(sites):
            port = ports.free_port()
            process = processes.start(
                f"uvicorn{number}",
                [
                    *(sys.executable, "-m", "uvicorn"),
                    "tests.live.application:application",
                    *("--host", ports.HOST, "--port", str(port)),
                ],
                cwd=ROOT,
                environment={
                    **os.environ,
                    **(environment or {}),
                    "TEST_SITE": json.dumps(site),
                },
            )
            servers.append(Server(port=port, process=process))

        for server in servers:
            server.process.wait_until_logged("Uvicorn running", seconds=60)

        yield servers


class Socket:
    """A client's socket, that has introduced itself."""

    def __init__(self, client: websockets.ClientConnection) -> None:
        self._client = client

    async def says(self, **message: Any) -> None:
        await self._client.send(json.dumps(message))

    async def subscribes(self, identifier: str, url: str, **payload: Any) -> None:
        await self.says(
            id=identifier, type="subscribe", payload={"url": url, **payload}
        )

    async def hears(self) -> Any:
        """The next message; the code, where the socket was closed."""
        try:
            async with asyncio.timeout(PATIENCE):
                return json.loads(await self._client.recv())
        except websockets.ConnectionClosed:
            return self._client.close_code

    async def hears_until(self, kind: str) -> list[Any]:
        """The frames up to the first of this type."""
        heard: list[Any] = []

        while not heard or heard[-1]["type"] != kind:
            message = await self.hears()
            assert message["type"] == "next", message
            heard.append(message["payload"])

        return heard


@contextlib.asynccontextmanager
async def socket(server: Server, **options: Any) -> AsyncIterator[Socket]:
    async with websockets.connect(
        server.socket_url,
        subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        proxy=None,
        open_timeout=PATIENCE,
        ping_timeout=None,
        **options,
    ) as client:
        one = Socket(client)
        await one.says(type="connection_init")
        assert await one.hears() == {"type": "connection_ack"}

        yield one
