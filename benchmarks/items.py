"""A list of ready items: how many a second leave the server."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from . import projects
from .clients import HttpClient
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("measure",)

ITEMS = 100_000
NDJSON = "application/x-ndjson"
ENCODER = "the encoder alone, nothing sent"
TAKES: dict[str, tuple[Kind, str, str]] = {
    "bare ASGI, one send per item": ("peer", "floors", "/items/"),
    "Starlette, one send per item": ("peer", "starlette", "/items/"),
    "ours, an async generator": ("ours", "ours", "/items/?kind=ready"),
    "ours, a sync generator": ("ours", "ours", "/items/?kind=rows"),
}


def measure(scale: Scale) -> list[Figure]:
    count = scale.count(ITEMS, at_least=1000)
    values: dict[str, list[float]] = {name: [] for name in (ENCODER, *TAKES)}

    with contextlib.ExitStack() as stack:
        environment = {
            **stack.enter_context(projects.sqlite()),
            "BENCH_ITEMS": str(count),
        }
        running = {
            name: stack.enter_context(
                serve(f"{module}:application", environment=environment)
            )
            for name, module in (
                ("floors", "floors"),
                ("starlette", "starlette_peer"),
                ("ours", "ours"),
            )
        }
        clients = {
            name: stack.enter_context(HttpClient(server.port))
            for name, server in running.items()
        }
        meters = {
            ENCODER: Meter(running["ours"]),
            **{name: Meter(running[server]) for name, (_, server, _) in TAKES.items()},
        }
        takes: dict[str, Callable[[], float]] = {
            ENCODER: meters[ENCODER](lambda: _encoder(clients["ours"]))
        }

        for name, (_, server, path) in TAKES.items():
            takes[name] = meters[name](_take(clients[server], path))

        for take in takes.values():
            take()

        for name, seconds in alternate(takes, rounds=scale.rounds):
            values[name].append(count / seconds)

    return [
        Figure(
            name="items",
            title="Ready items of a streamed list",
            unit="items per second",
            better="higher",
            goal="1.5 x the encoder at most; ten times one send per item",
            note=f"{count:,} small objects from a generator, to the last byte at the "
            "client. The encoder takes them from the same generator, a thousand at a "
            "time.",
            series=[
                Series(
                    label=name,
                    kind="floor" if name == ENCODER else TAKES[name][0],
                    values=of_one,
                    costs=meters[name].costs(len(of_one)),
                )
                for name, of_one in values.items()
            ],
        )
    ]


def _encoder(client: HttpClient) -> float:
    seconds: float = json.loads(client.get("/encoder/").body)["seconds"]

    return seconds


def _take(client: HttpClient, path: str) -> Callable[[], float]:
    return lambda: client.get(path, NDJSON).last
