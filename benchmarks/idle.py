"""What a stream or a socket costs on which nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

from . import projects
from .clients import Crowd, hold_open
from .measuring import Figure, Kind, Scale, Series, alternate
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .servers import Server

__all__ = ("measure",)

STREAMS = 500
TAKES: dict[str, tuple[Kind, str, str]] = {
    "bare ASGI": ("floor", "floors", "/idle/"),
    "Starlette": ("peer", "starlette_peer", "/idle/"),
    "Django, StreamingHttpResponse": ("peer", "django_peer", "/django/idle/"),
    "ours, NDJSON": ("ours", "ours", "/idle/"),
    "bare ASGI, WebSocket": ("floor", "floors", "/ws/"),
    "ours, WebSocket": ("ours", "ours", "/ws/partstream/"),
}
#: What is sent over a socket of ours, each after so many messages heard, and how many
#: messages are heard before nothing happens: acknowledged, `start` and the first part.
SAID = {
    0: {"type": "connection_init"},
    1: {"id": "1", "type": "subscribe", "payload": {"url": "/idle/"}},
}
HEARD = 3
PATIENCE_SECONDS = 60.0


def measure(scale: Scale) -> list[Figure]:
    count = scale.count(STREAMS, at_least=20)
    # Memory that a process has got it keeps: every value needs a server of its own.
    rounds = min(scale.rounds, 3)
    values: dict[str, list[float]] = {name: [] for name in TAKES}

    with projects.sqlite() as database:
        takes = {
            name: functools.partial(_one, server, path, count, database)
            for name, (_, server, path) in TAKES.items()
        }

        for name, kib in alternate(takes, rounds=rounds):
            values[name].append(kib)

    return [
        Figure(
            name="idle",
            title="Memory of a stream or a socket on which nothing happens",
            unit="KiB",
            goal="30 KiB at most",
            note=f"RSS of the server with {count} more of them, each after its first "
            "frame, for each of them; a fresh server for each value, which has served "
            f"{count // 10} before. Ours has one part running.",
            series=[
                Series(label=name, kind=TAKES[name][0], values=of_one)
                for name, of_one in values.items()
            ],
        )
    ]


def _one(server: str, path: str, count: int, database: dict[str, str]) -> float:
    measure = _of_sockets if path.startswith("/ws/") else _of_streams

    with serve(f"{server}:application", environment=database) as running:
        return measure(running, path, count)


def _of_streams(server: Server, path: str, count: int) -> float:
    # They are closed before the server ends, which waits for them.
    with contextlib.ExitStack() as stack:
        # What a process needs but once is not the streams'.
        for connection in hold_open(server.port, path, count // 10):
            stack.enter_context(connection)

        before = server.rss_kib

        for connection in hold_open(server.port, path, count):
            stack.enter_context(connection)

        return (server.rss_kib - before) / count


def _of_sockets(server: Server, path: str, count: int) -> float:
    is_ours = path != TAKES["bare ASGI, WebSocket"][2]

    def opened(size: int) -> Awaitable[Crowd]:
        return Crowd.open(
            server.port,
            path,
            SAID if is_ours else {},
            size,
            greetings=HEARD if is_ours else 1,
            patience=PATIENCE_SECONDS,
        )

    async def measured() -> float:
        few = await opened(count // 10)
        before = server.rss_kib
        many = await opened(count)
        kib = (server.rss_kib - before) / count
        await few.leave()
        await many.leave()

        return kib

    return asyncio.run(measured())
