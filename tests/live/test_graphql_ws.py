"""The npm client graphql-ws, unmodified, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import playwright
import pytest

from tests.forms import PATIENCE
from tests.live.servers import Server, serving

NODE = Path(playwright.__file__).parent / "driver" / "node"
SCRIPT = Path(__file__).resolve().parent.parent / "js" / "graphql_ws_client.mjs"

pytestmark = pytest.mark.usefixtures("npm_packages")


class Client:
    """graphql-ws in a process of node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input = process.stdin
        self._output = process.stdout

    def does(self, **command: Any) -> None:
        self._input.write(json.dumps(command).encode() + b"\n")

    async def hears(self) -> Any:
        """The next event, pongs apart."""
        while True:
            async with asyncio.timeout(PATIENCE):
                line = await self._output.readline()

            event = json.loads(line)

            if event["event"] != "pong":
                return event

    async def hears_all(self, count: int) -> list[Any]:
        return [await self.hears() for _ in range(count)]

    async def hears_pong(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while json.loads(await self._output.readline())["event"] != "pong":
                pass


@contextlib.asynccontextmanager
async def graphql_ws(server: Server, **params: Any) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        NODE,
        SCRIPT,
        server.socket_url,
        json.dumps(params),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    try:
        client = Client(process)
        assert await client.hears() == {"event": "connected"}
        yield client
    finally:
        process.kill()
        # To the end of its output, too: no pipe of it is left open.
        await process.communicate()


async def test_graphql_ws_connects_subscribes_receives_cancels_and_reconnects() -> None:
    with serving({}) as (server,):
        async with graphql_ws(server, headers={"Authorization": "Token t"}) as client:
            # It never leaves `query` out; beside `url` nobody reads it.
            client.does(
                subscribe={"query": "{ x }", "url": "/whoami/?a=1"}, **{"as": "a"}
            )
            start, part, end, complete = await client.hears_all(4)

            # Alone it is the url.
            client.does(subscribe={"query": "/board/", "live": True}, **{"as": "b"})
            board = await client.hears_all(7)
            await server.asks("/show/orders/changed/")
            await server.asks("/publish/orders/")
            changed = await client.hears()
            client.does(cancel="b")
            cancelled = await client.hears()
            await client.hears_pong()

            client.does(subscribe={"query": "/nowhere/"}, **{"as": "c"})
            refused = await client.hears()

            client.does(subscribe={"query": "/board/", "live": True}, **{"as": "d"})
            await client.hears_all(7)
            server.process.request_stop()
            shutdown, closed = await client.hears_all(2)
            await server.ended()
            await server.start_again()
            again = await heard_until_live(client)
            client.does(dispose=True)

    assert [event["frame"]["type"] for event in (start, part, end)] == [
        "start",
        "part",
        "end",
    ]
    assert part["frame"]["data"] == {"authorization": "Token t", "query": {"a": "1"}}
    assert complete == {"event": "complete", "as": "a"}
    assert [event["frame"]["type"] for event in board] == [
        "start",
        *["part"] * 5,
        "live",
    ]
    assert changed["frame"]["data"] == "changed"
    assert cancelled == {"event": "complete", "as": "b"}
    assert refused["event"] == "error"
    assert [problem["status"] for problem in refused["error"]] == [404]
    assert shutdown["frame"]["reason"] == "shutdown"
    assert closed == {"event": "closed", "code": 1012}
    assert {event["frame"]["type"] for event in again} == {"start", "part", "live"}
    assert {event["as"] for event in again} == {"d"}


async def heard_until_live(client: Client) -> list[Any]:
    """What is heard of the subscription that was made anew."""
    heard: list[Any] = []

    while not heard or heard[-1]["frame"]["type"] != "live":
        event = await client.hears()

        # Connections that were refused while nobody was there come first.
        if event["event"] == "next":
            heard.append(event)

    return heard
