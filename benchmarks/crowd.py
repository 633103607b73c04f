"""The first frame when many ask at once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from typing import TYPE_CHECKING, Any, Self

from . import projects
from .clients import HOST, Follower
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("measure",)

CLIENTS = (1, 10, 100, 500)
NDJSON = "application/x-ndjson"
JSON = "application/json"
#: In the place of an Accept: a subscription each, over a socket that is kept.
SOCKET = "graphql-transport-ws"
#: What a subscription to three parts says: start, three, end, and that it is complete.
MESSAGES = 6
#: Answers that a round looks at, at least, and how often each client asks, at least.
ANSWERS, REQUESTS = 200, 1
TAKES: dict[str, tuple[Kind, str, str, str]] = {
    "bare ASGI": ("floor", "floors", "/frames/", NDJSON),
    "Starlette": ("peer", "starlette", "/frames/", NDJSON),
    "FastAPI": ("peer", "fastapi", "/frames/", NDJSON),
    "Django, StreamingHttpResponse": ("peer", "django", "/django/frames/", NDJSON),
    "plain DRF, in full": ("peer", "django", "/drf/frames/", JSON),
    "adrf, in full": ("peer", "django", "/adrf/frames/", JSON),
    "ours, NDJSON": ("ours", "ours", "/frames/", NDJSON),
    "ours, SSE": ("ours", "ours", "/frames/", "text/event-stream"),
    "ours, one page": ("ours", "ours", "/frames/", JSON),
    "ours, WebSocket": ("ours", "ours", "/frames/", SOCKET),
}


def measure(scale: Scale) -> Iterator[Figure]:
    sizes = sorted({scale.count(size) for size in CLIENTS})
    middle: dict[tuple[int, str], list[float]] = {}
    late: dict[tuple[int, str], list[float]] = {}

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(projects.sqlite())
        running = {
            "floors": stack.enter_context(serve("floors:application")),
            "starlette": stack.enter_context(serve("starlette_peer:application")),
            "fastapi": stack.enter_context(serve("fastapi_peer:application")),
            "django": stack.enter_context(
                serve("django_peer:application", environment=database)
            ),
            "ours": stack.enter_context(
                serve("ours:application", environment=database)
            ),
        }

        for size in sizes:
            # One goes ahead in each connection.
            answers = size * (_requests(size) + 1)
            meters = {
                name: Meter(running[server], each=answers)
                for name, (_, server, _, _) in TAKES.items()
            }
            takes = {
                name: meters[name](
                    functools.partial(
                        _take, running[server].port, path, accept, size, scale
                    )
                )
                for name, (_, server, path, accept) in TAKES.items()
            }

            for name, firsts in alternate(takes, rounds=min(scale.rounds, 3)):
                middle.setdefault((size, name), []).append(_share(firsts, 0.5))
                late.setdefault((size, name), []).append(_share(firsts, 0.99))

            yield _figure(size, middle, late, meters)


def _figure(
    size: int,
    middle: dict[tuple[int, str], list[float]],
    late: dict[tuple[int, str], list[float]],
    meters: dict[str, Meter],
) -> Figure:
    p99 = "; ".join(
        f"{name} {sorted(late[size, name])[len(late[size, name]) // 2]:.1f} ms"
        for name in TAKES
    )

    return Figure(
        name=f"crowd-{size}",
        title=f"First frame when {size:,} ask at once",
        unit="ms",
        note=f"Each of {size:,} connections that are kept asks when all have their "
        f"last answer, {_requests(size)} times; the median of all. One in a hundred "
        f"waited longer than: {p99}. The clients share the machine.",
        series=[
            Series(
                label=name,
                kind=TAKES[name][0],
                values=middle[size, name],
                costs=meters[name].costs(len(middle[size, name])),
            )
            for name in TAKES
        ],
    )


def _requests(size: int) -> int:
    return max(REQUESTS, ANSWERS // size)


def _share(values: Sequence[float], share: float) -> float:
    """What this share of the values does not exceed, in milliseconds."""
    ordered = sorted(values)

    return ordered[math.ceil(share * len(ordered)) - 1] * 1e3


def _take(port: int, path: str, accept: str, size: int, scale: Scale) -> list[float]:
    return asyncio.run(_round(port, path, accept, size, scale.patience))


async def _round(
    port: int, path: str, accept: str, size: int, patience: float
) -> list[float]:
    opened = _Subscriber.opened if accept == SOCKET else _Asker.opened
    askers = [await opened(port, path, accept) for _ in range(size)]
    firsts: list[float] = []

    async with asyncio.timeout(patience):
        # One goes ahead, which makes what is made but once.
        for number in range(_requests(size) + 1):
            took = await asyncio.gather(*(asker.ask() for asker in askers))
            firsts += took if number else []

    for asker in askers:
        asker.transport.abort()

    return firsts


class _Asker(asyncio.Protocol):
    """One connection: how long the first piece of each answer's body took."""

    transport: asyncio.Transport

    def __init__(self, path: str, accept: str) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: {accept}\r\n\r\n"
        ).encode()

    @classmethod
    async def opened(cls, port: int, path: str, accept: str) -> Self:
        _, asker = await asyncio.get_running_loop().create_connection(
            lambda: cls(path, accept), HOST, port
        )

        return asker

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    async def ask(self) -> float:
        self._got = b""
        self._first = 0.0
        self._ended = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self.transport.write(self._request)
        await self._ended

        return self._first

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")

        if not end:
            return

        if b" 200 " not in head[:20]:
            self._fail(RuntimeError(head.decode()))
            return

        is_chunked = b"chunked" in head.lower()
        begun = body.partition(b"\r\n")[2] if is_chunked else body

        if begun and not self._first:
            self._first = time.perf_counter() - self._began

        over = body.endswith(b"0\r\n\r\n") if is_chunked else len(body) >= _length(head)

        if over and not self._ended.done():
            self._ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("The server closed the connection."))

    def _fail(self, error: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


class _Subscriber:
    """One socket: how long the first message of each subscription took."""

    transport: asyncio.Transport
    _follower: Follower

    def __init__(self, path: str) -> None:
        self._payload = {"url": path}
        self._asked = 0
        self._heard = 0
        #: Acknowledged.
        self._ended = asyncio.get_running_loop().create_future()
        self._wanted = 1

    @classmethod
    async def opened(cls, port: int, path: str, _accept: str) -> Self:
        asker = cls(path)
        _, asker._follower = await asyncio.get_running_loop().create_connection(
            lambda: Follower(
                "/ws/partstream/", {0: {"type": "connection_init"}}, asker._on_message
            ),
            HOST,
            port,
        )
        asker.transport = asker._follower.transport
        await asker._ended

        return asker

    async def ask(self) -> float:
        self._asked += 1
        self._heard, self._wanted = 0, MESSAGES
        self._ended = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self._follower.say(
            {"id": str(self._asked), "type": "subscribe", "payload": self._payload}
        )
        await self._ended

        return self._first

    def _on_message(self) -> None:
        self._heard += 1

        if self._asked and self._heard == 1:
            self._first = time.perf_counter() - self._began

        if self._heard == self._wanted:
            self._ended.set_result(None)


def _length(head: bytes) -> int:
    (length,) = (
        line.partition(b":")[2]
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )

    return int(length)
