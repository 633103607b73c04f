"""What a part costs that does nothing."""

from __future__ import annotations

import contextlib
from statistics import median
from typing import TYPE_CHECKING

from . import projects
from .clients import HttpClient
from .measuring import Figure, Scale, Series, alternate, exponent
from .meter import Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("measure",)

COUNTS = (1, 6, 60, 100)
#: Between these the growth is looked at.
FEW, MANY = 6, 60
REQUESTS = 20
KINDS = {
    "value": "a value that is there",
    "async": "an async function",
    "sync": "a sync function",
}
NDJSON = "application/x-ndjson"


def measure(scale: Scale) -> list[Figure]:
    requests = scale.count(REQUESTS, at_least=3)
    values: dict[tuple[str, int], list[float]] = {
        (kind, count): [] for count in COUNTS for kind in KINDS
    }

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(projects.sqlite())
        server = stack.enter_context(serve("ours:application", environment=database))
        client = stack.enter_context(HttpClient(server.port))
        meters = {of: Meter(server, each=requests) for of in values}
        takes = {
            f"{kind} {count}": meters[kind, count](_take(client, kind, count, requests))
            for kind, count in values
        }

        for take in takes.values():
            take()

        for name, milliseconds in alternate(takes, rounds=scale.rounds):
            kind, count = name.split()
            values[kind, int(count)].append(milliseconds)

    most, least = max(COUNTS), min(COUNTS)
    each = {
        kind: [
            (many - few) * 1e3 / (most - least)
            for many, few in zip(values[kind, most], values[kind, least], strict=True)
        ]
        for kind in KINDS
    }

    return [
        Figure(
            name="parts",
            title="One more part that does nothing",
            unit="µs",
            goal="a sync part 60 µs at most, a value 15 µs at most",
            note=f"The whole stream of {most} parts, less that of {least}, for each of "
            "the parts between them: run, encode, frame, sign what is still owed, "
            f"write, and read at the client. Medians of {requests} requests.",
            series=[
                Series(label=KINDS[kind], kind="ours", values=each[kind])
                for kind in KINDS
            ],
        ),
        Figure(
            name="parts-streams",
            title="A stream of parts that do nothing",
            unit="ms",
            note=f"NDJSON, from request to end; medians of {requests} requests. From "
            f"{FEW} to {MANY} it grows with the power of: {_growth(values)}; 1 is "
            "linear.",
            series=[
                Series(
                    label=f"{count} x {KINDS[kind]}",
                    kind="ours",
                    values=values[kind, count],
                    costs=meters[kind, count].costs(len(values[kind, count])),
                )
                for kind, count in values
            ],
        ),
    ]


def _growth(values: dict[tuple[str, int], list[float]]) -> str:
    return "; ".join(
        f"{name} {exponent((FEW, MANY), _medians(values, kind)):.2f}"
        for kind, name in KINDS.items()
    )


def _medians(values: dict[tuple[str, int], list[float]], kind: str) -> list[float]:
    return [median(values[kind, count]) for count in (FEW, MANY)]


def _take(
    client: HttpClient, kind: str, count: int, requests: int
) -> Callable[[], float]:
    path = f"/parts/?kind={kind}&count={count}"

    def take() -> float:
        lasts = sorted(client.get(path, NDJSON).last for _ in range(requests))

        return lasts[requests // 2] * 1e3

    return take
