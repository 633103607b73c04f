"""One progressive view, asked for in each of its four representations.

Through the whole of Django, without a server, so that a client can leave after any
byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

from django.core.handlers.asgi import ASGIHandler

from django_partstream.routing import PartStreamConsumer
from tests.parts.merging import Merged, merge, parse, parse_events
from tests.socket_client import connect

__all__ = ("ALL", "Read", "as_pages", "follow_pages", "get")

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"

#: Follows the view at a path, from a cursor or from the beginning.
Read: TypeAlias = Callable[[str, str | None], Awaitable[Merged]]


async def get(
    path: str,
    *,
    accept: str,
    last_event_id: str | None = None,
    leave_after: int | None = None,
    leave_when: Callable[[bytearray], bool] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET. The client leaves when it has received
    `leave_after` bytes of the body, or a body that `leave_when` is true of."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [
            (b"host", b"testserver"),
            (b"accept", accept.encode()),
            *([(b"last-event-id", last_event_id.encode())] if last_event_id else []),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }
    sent: list[dict[str, Any]] = []
    left = asyncio.Event()
    body = bytearray()
    requests = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if requests:
            return requests.pop()

        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        body.extend(message.get("body", b""))

        is_enough = leave_after is not None and len(body) >= leave_after

        if is_enough or (leave_when is not None and leave_when(body)):
            left.set()
            # As a server does that has noticed: nothing is taken any more.
            await asyncio.sleep(30)

    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(ASGIHandler()(scope, receive, send), 30)

    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}

    return sent[0]["status"], found, bytes(body[:leave_after])


def _asked(path: str, **query: str | int | None) -> str:
    more = {name: value for name, value in query.items() if value is not None}

    if not more:
        return path

    return path + ("&" if "?" in path else "?") + urlencode(more)


async def follow_pages(path: str, cursor: str | None, chunk_size: int) -> Merged:
    """All pages. A follow-up asks for nothing but its cursor."""
    merged = Merged()
    base = path.partition("?")[0]
    url = _asked(base, cursor=cursor) if cursor else path

    while True:
        status, headers, body = await get(
            _asked(url, chunk_size=chunk_size), accept="application/json"
        )
        assert (status, headers["Content-Type"]) == (200, "application/json"), body
        merged.add_page(json.loads(body))

        if merged.cursor is None:
            return merged

        url = _asked(base, cursor=merged.cursor)


async def as_pages(path: str, cursor: str | None) -> Merged:
    return await follow_pages(path, cursor, 2)


async def as_ndjson(path: str, cursor: str | None) -> Merged:
    status, headers, body = await get(_resumed(path, cursor), accept=NDJSON)
    assert (status, headers["Content-Type"]) == (200, NDJSON), body
    assert body.endswith(b"\n")

    return merge(parse(body))


async def as_events(path: str, cursor: str | None) -> Merged:
    """As an EventSource, which comes back to where it was with `Last-Event-ID`."""
    status, headers, body = await get(path, accept=EVENTS, last_event_id=cursor)
    assert (status, headers["Content-Type"]) == (200, EVENTS), body

    return merge(parse_events(body))


async def as_subscription(path: str, cursor: str | None) -> Merged:
    merged = Merged()
    payload = {"url": path, "cursor": cursor}

    async with connect(PartStreamConsumer.as_asgi()) as client:
        client.says({"id": "1", "type": "subscribe", "payload": payload})

        while (heard := await client.hears())["type"] != "complete":
            assert heard["type"] == "next", heard
            merged.add(heard["payload"])

    return merged


def _resumed(path: str, cursor: str | None) -> str:
    return _asked(path.partition("?")[0], cursor=cursor) if cursor else path


ALL: Mapping[str, Read] = {
    "pages": as_pages,
    "ndjson": as_ndjson,
    "events": as_events,
    "subscription": as_subscription,
}
