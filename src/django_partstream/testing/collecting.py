"""All frames of a view or of a job, whichever way they leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from django_partstream.asgi import get_application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from django.test import AsyncClient

__all__ = ("Frame", "Transport", "acollect_frames", "collect_frames")

Frame = dict[str, Any]
Transport = Literal["ndjson", "sse", "pages"]

ACCEPT = {
    "ndjson": "application/x-ndjson",
    "sse": "text/event-stream",
    "pages": "application/json",
}


def collect_frames(
    source: Any,
    url: str | None = None,
    *,
    transport: Transport = "ndjson",
    **headers: str,
) -> list[Frame]:
    """The frames of a response, or of what a client of Django's or DRF's gets at `url`.

        frames = collect_frames(self.client.get("/api/dashboard/?format=ndjson"))
        frames = collect_frames(self.client, "/api/dashboard/", transport="sse")

    Each is a dict as PROTOCOL section 1 has it; pings are left out. Of what
    ended early, as streams do under WSGI, the rest is asked for. With "pages" every
    page is asked for, and their parts become `part` and `error` frames between a
    `start` and an `end`. Raises AssertionError, with the answer, for a response that is
    not 200.
    """
    if url is None:
        return _frames_of(source, _body_of(source))

    if transport == "pages":
        return _collect_pages(source, url, headers)

    asking = _asking(transport, headers)
    response = source.get(url, headers=asking)
    frames = _frames_of(response, _body_of(response))

    while (cursor := _owed(frames)) is not None:
        response = source.get(urlsplit(url).path, {"cursor": cursor}, headers=asking)
        frames = _joined(frames, _frames_of(response, _body_of(response)))

    return frames


async def acollect_frames(
    source: Any,
    url: str | None = None,
    *,
    transport: Transport | Literal["websocket"] = "ndjson",
    seconds: float = 30.0,
    **headers: str,
) -> list[Frame]:
    """`collect_frames()` for coroutines, with an `AsyncClient`, whose streams it reads
    as they come. Raises TimeoutError for one that takes longer than `seconds`.

    With "websocket" the client's cookies and these headers (`Authorization="…"`) go
    with the handshake and the first message of a socket, which subscribes to `url`.
    Sync code runs in other threads there: rows of a `TestCase`'s transaction are not
    seen, those of a `TransactionTestCase` are.
    """
    async with asyncio.timeout(seconds):
        if url is None:
            return _frames_of(source, await _abody_of(source))

        if transport == "websocket":
            return await _collect_from_socket(source, url, headers)

        if transport == "pages":
            return await _acollect_pages(source, url, headers)

        asking = _asking(transport, headers)
        response = await source.get(url, headers=asking)
        frames = _frames_of(response, await _abody_of(response))

        while (cursor := _owed(frames)) is not None:
            response = await source.get(
                urlsplit(url).path, {"cursor": cursor}, headers=asking
            )
            frames = _joined(frames, _frames_of(response, await _abody_of(response)))

        return frames


def _owed(frames: list[Frame]) -> str | None:
    """The cursor of a stream that ended early, or of a page that stands in for one, as
    it does under WSGI."""
    cursor: str | None = frames[-1]["cursor"]

    return cursor


def _joined(frames: list[Frame], more: list[Frame]) -> list[Frame]:
    """What a client has that came back with the cursor."""
    start, *seen, early = frames
    start_again, *rest, end = more
    parts = [*start["parts"], *start_again["parts"]]
    counts = {name: early[name] + end[name] for name in ("ok", "failed")}

    return [
        {**start, "parts": list(dict.fromkeys(parts))},
        *seen,
        *rest,
        {**end, **counts},
    ]


def _asking(transport: str, headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    return {"Accept": ACCEPT[transport], **named}


def _body_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)

    try:
        return b"".join(response)
    finally:
        response.close()


async def _abody_of(response: Any) -> bytes:
    if not response.streaming:
        return bytes(response.content)

    pieces = [piece async for piece in response]

    return b"".join(pieces)


def _frames_of(response: Any, body: bytes) -> list[Frame]:
    content_type = response.headers["Content-Type"].partition(";")[0]

    if response.status_code != 200:
        raise AssertionError(f"{response.status_code} {content_type}: {body[:2000]!r}")

    match content_type:
        case "application/x-ndjson":
            lines = body.splitlines()
        case "text/event-stream":
            lines = [
                line.removeprefix(b"data: ")
                for line in body.splitlines()
                if line.startswith(b"data: ")
            ]
        case "application/json":
            return _frames_of_pages([json.loads(body)])
        case _:
            raise AssertionError(
                f"{content_type!r} has no frames; expected NDJSON, events or a page."
            )

    frames = [json.loads(line) for line in lines if line]

    return [frame for frame in frames if frame["type"] != "ping"]


def _collect_pages(client: Any, url: str, headers: Mapping[str, str]) -> list[Frame]:
    pages: list[dict[str, Any]] = []
    asking = _asking("pages", headers)

    while not pages or pages[-1]["cursor"] is not None:
        following = {"cursor": pages[-1]["cursor"]} if pages else {}
        address = urlsplit(url).path if pages else url
        response = client.get(address, following, headers=asking)
        pages.append(_page_of(response))

    return _frames_of_pages(pages)


async def _acollect_pages(
    client: AsyncClient, url: str, headers: Mapping[str, str]
) -> list[Frame]:
    pages: list[dict[str, Any]] = []
    asking = _asking("pages", headers)

    while not pages or pages[-1]["cursor"] is not None:
        following = {"cursor": pages[-1]["cursor"]} if pages else {}
        address = urlsplit(url).path if pages else url
        response = await client.get(address, following, headers=asking)
        pages.append(_page_of(response))

    return _frames_of_pages(pages)


def _page_of(response: Any) -> dict[str, Any]:
    body = _body_of(response)

    if response.status_code != 200:
        raise AssertionError(f"{response.status_code}: {body[:2000]!r}")

    page: dict[str, Any] = json.loads(body)

    return page


def _frames_of_pages(pages: list[dict[str, Any]]) -> list[Frame]:
    frames: list[Frame] = []

    for page in pages:
        problems = iter(page.get("errors", ()))
        # A part may be null without having failed; who failed is told by a problem.
        failed = {problem.get("part"): problem for problem in problems}

        for result in page["results"]:
            ((name, data),) = result.items()

            if name in failed:
                frames.append({"type": "error", "name": name, "error": failed[name]})
            else:
                frames.append({"type": "part", "name": name, "data": data})

    errors = sum(frame["type"] == "error" for frame in frames)
    cursor = pages[-1]["cursor"]
    start = {"type": "start", "v": 1, "parts": [frame["name"] for frame in frames]}
    end = {"type": "end", "ok": len(frames) - errors, "failed": errors}

    return [start, *frames, {**end, "cursor": cursor, "reason": "complete"}]


async def _collect_from_socket(
    client: Any, url: str, headers: Mapping[str, str]
) -> list[Frame]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async with _socket(client, named) as (send, receive):
        await receive()
        send({"type": "connection_init", "payload": {"headers": named}})
        frames: list[Frame] = []

        while True:
            message = await receive()

            match message["type"]:
                case "connection_ack":
                    subscribe = {"url": url}
                    send({"type": "subscribe", "id": "1", "payload": subscribe})
                case "next":
                    frames.append(message["payload"])
                case "complete":
                    return frames
                case "error" | "websocket.close":
                    raise AssertionError(f"{url} was refused: {message!r}")


@contextlib.asynccontextmanager
async def _socket(client: Any, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    """A socket at the package's own application: how to send a message, and how to
    receive one."""
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    cookies = "; ".join(
        f"{name}={morsel.value}" for name, morsel in client.cookies.items()
    )
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws/partstream/",
        "query_string": b"",
        "headers": [
            (b"host", b"testserver"),
            (b"cookie", cookies.encode()),
            *(
                (name.lower().encode(), value.encode())
                for name, value in headers.items()
            ),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "subprotocols": ["graphql-transport-ws"],
    }
    application: Any = get_application(background=contextlib.nullcontext)
    server: asyncio.Task[None] = asyncio.create_task(
        application(scope, inbox.get, outbox.put)
    )
    inbox.put_nowait({"type": "websocket.connect"})

    def send(message: dict[str, Any]) -> None:
        text = json.dumps(message)
        inbox.put_nowait({"type": "websocket.receive", "text": text})

    async def receive() -> Any:
        event = await outbox.get()

        return json.loads(event["text"]) if "text" in event else event

    try:
        yield send, receive
        inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await server
    finally:
        server.cancel()
        await asyncio.wait([server])
