"""Bare ASGI: what every framework under the same server has to pay as well."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from .shared import FRAMES, ITEMS, items

__all__ = ("EVENT", "answer", "application", "ready", "socket", "sockets", "tell")

HEADERS = [(b"content-type", b"application/x-ndjson")]
#: The text of one snapshot, as ours sends it.
EVENT = orjson.dumps(
    {
        "id": "1",
        "type": "next",
        "payload": {
            "type": "progress",
            "task_id": "7c0f0f52-5ad5-4e6c-8f0c-2f2b8d1c9a01",
            "progress": {"current": 50_000, "total": 1_000_000},
            "padding": "x" * 562,
        },
    }
).decode()

_sockets: set[Any] = set()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await socket(receive, send)
    elif scope["path"] == "/idle/":
        await _idle(receive, send)
    else:
        await ROUTES[scope["path"]](send)


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def socket(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": EVENT})
    _sockets.add(send)

    while (await receive())["type"] != "websocket.disconnect":
        pass

    _sockets.discard(send)


def sockets() -> tuple[Any, ...]:
    """What to send with, of each."""
    return tuple(_sockets)


async def tell(text: str) -> None:
    """The loop that fan-out is measured against."""
    message = {"type": "websocket.send", "text": text}

    for one in sockets():
        await one(message)


async def _event(send: Any) -> None:
    await tell(EVENT)
    await answer(send, {})


async def ready(send: Any) -> None:
    await answer(send, {"sockets": len(_sockets)})


async def answer(send: Any, body: Any) -> None:
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).replace(b"\n", b"")
    length = (b"content-length", str(len(text)).encode())
    start = {"type": "http.response.start", "status": 200, "headers": [length]}
    await send(start)
    await send({"type": "http.response.body", "body": text})


async def _frames(send: Any) -> None:
    """The frames that ours sends for the same view, ready made."""
    await _start(send)

    for frame in FRAMES:
        await _body(send, frame)

    await _body(send, b"", more=False)


async def _idle(receive: Any, send: Any) -> None:
    await _start(send)
    await _body(send, FRAMES[0])

    while (await receive())["type"] != "http.disconnect":
        pass


async def _sleep(send: Any) -> None:
    """The slowest of six parts, and nothing else."""
    await asyncio.sleep(0.2)
    await answer(send, {})


async def _one_by_one(send: Any) -> None:
    await _start(send)

    async for item in items(ITEMS):
        await _body(send, orjson.dumps(item) + b"\n")

    await _body(send, b"", more=False)


async def _start(send: Any) -> None:
    start = {"type": "http.response.start", "status": 200, "headers": HEADERS}
    await send(start)


async def _body(send: Any, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


ROUTES = {
    "/ready/": ready,
    "/event/": _event,
    "/change/": _event,
    "/frames/": _frames,
    "/items/": _one_by_one,
    "/sleep/": _sleep,
}
