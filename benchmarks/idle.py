"""What a stream costs on which nothing happens."""

from __future__ import annotations

import contextlib
import functools

from . import projects
from .clients import hold_open
from .measuring import Figure, Kind, Scale, Series, alternate
from .servers import serve

__all__ = ("measure",)

STREAMS = 500
TAKES: dict[str, tuple[Kind, str, str]] = {
    "bare ASGI": ("floor", "floors", "/idle/"),
    "Starlette": ("peer", "starlette_peer", "/idle/"),
    "Django, StreamingHttpResponse": ("peer", "ours", "/django/idle/"),
    "ours, NDJSON": ("ours", "ours", "/idle/"),
}


def measure(scale: Scale) -> list[Figure]:
    count = scale.count(STREAMS, at_least=20)
    # Memory that a process has got it keeps: every value needs a server of its own.
    rounds = min(scale.rounds, 5)
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
            title="Memory of a stream on which nothing happens",
            unit="KiB",
            goal="30 KiB at most",
            note=f"RSS of the server with {count} streams more, each after its first "
            "frame, for each of them; a fresh server for each value, which has served "
            f"{count // 10} before. Ours has one part running.",
            series=[
                Series(label=name, kind=TAKES[name][0], values=of_one)
                for name, of_one in values.items()
            ],
        )
    ]


def _one(server: str, path: str, count: int, database: dict[str, str]) -> float:
    # The streams are closed first: a server waits for them when it ends.
    with (
        serve(f"{server}:application", environment=database) as running,
        contextlib.ExitStack() as stack,
    ):
        # What a process needs but once is not the streams'.
        for connection in hold_open(running.port, path, count // 10):
            stack.enter_context(connection)

        before = running.rss_kib

        for connection in hold_open(running.port, path, count):
            stack.enter_context(connection)

        return (running.rss_kib - before) / count
