"""Six parts of 0.2 s: sync ones that wait for PostgreSQL, and async ones."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
from websockets.sync.client import connect

from . import projects
from .clients import Answer, HttpClient
from .link import slow_link
from .measuring import Figure, Kind, Scale, Series, alternate
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("measure",)

Take = tuple[float, float]
JSON = "application/json"
NDJSON = "application/x-ndjson"
#: Of each kind of part: where it is asked, and as what.
TAKES: dict[str, dict[str, tuple[Kind, str, str]]] = {
    "sync": {
        "plain DRF, one by one": ("peer", "/drf/six/", JSON),
        "adrf, gather": ("peer", "/adrf/six/?kind=sync", JSON),
        "adrf, gather in threads": ("peer", "/adrf/threads/six/", JSON),
        "ours, one page": ("ours", "/six/?kind=sync", JSON),
        "ours, NDJSON": ("ours", "/six/?kind=sync", NDJSON),
        "ours, SSE": ("ours", "/six/?kind=sync", "text/event-stream"),
    },
    "async": {
        "adrf, gather": ("peer", "/adrf/six/?kind=async", JSON),
        "ours, one page": ("ours", "/six/?kind=async", JSON),
        "ours, NDJSON": ("ours", "/six/?kind=async", NDJSON),
        "ours, SSE": ("ours", "/six/?kind=async", "text/event-stream"),
    },
}
FLOOR = "the slowest part alone"
AT_ONCE = "plain DRF, six requests at once"
FASTAPI = "FastAPI, StreamingResponse"
#: Of the link that a page is far away by: seconds there and back.
ROUND_TRIP = 0.15
SOCKET = "ours, WebSocket"
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
)


def measure(scale: Scale) -> list[Figure]:
    figures = []

    with contextlib.ExitStack() as stack:
        database = stack.enter_context(projects.postgresql())
        floors = stack.enter_context(serve("floors:application"))
        server = stack.enter_context(serve("ours:application", environment=database))
        fastapi = stack.enter_context(
            serve("fastapi_peer:application", environment=database)
        )
        floor = _http(stack.enter_context(HttpClient(floors.port)), "/sleep/", JSON)

        for kind, asked in TAKES.items():
            takes = {FLOOR: floor}
            kinds: dict[str, Kind] = {FLOOR: "floor", SOCKET: "ours"}

            for name, (series, path, accept) in asked.items():
                client = stack.enter_context(HttpClient(server.port))
                takes[name] = _http(client, path, accept)
                kinds[name] = series

            if kind == "sync":
                clients = [
                    stack.enter_context(HttpClient(server.port)) for _ in range(6)
                ]
                takes[AT_ONCE] = functools.partial(_at_once, clients)
                kinds[AT_ONCE] = "peer"

            client = stack.enter_context(HttpClient(fastapi.port))
            takes[FASTAPI] = _http(client, f"/six/?kind={kind}", NDJSON)
            kinds[FASTAPI] = "peer"
            takes[SOCKET] = _socket(stack, server.port, f"/six/?kind={kind}")
            figures += _figures(kind, takes, kinds, scale, database)

        with slow_link(server.port, round_trip=ROUND_TRIP) as far:
            figures.append(_far(far, scale))

    return figures


def _far(port: int, scale: Scale) -> Figure:
    """What a page does that is far away, with connections that are opened for it."""

    def alone(path: str, accept: str) -> float:
        began = time.perf_counter()

        with HttpClient(port) as client:
            client.get(path, accept)

        return (time.perf_counter() - began) * 1e3

    def at_once() -> float:
        began = time.perf_counter()

        with ThreadPoolExecutor(6) as threads, contextlib.ExitStack() as stack:
            opened = list(threads.map(lambda _: HttpClient(port), range(6)))

            for client in opened:
                stack.enter_context(client)

            _at_once(opened)

        return (time.perf_counter() - began) * 1e3

    takes: dict[str, Callable[[], float]] = {
        "plain DRF, one by one": functools.partial(alone, "/drf/six/", JSON),
        AT_ONCE: at_once,
        "ours, NDJSON": functools.partial(alone, "/six/?kind=sync", NDJSON),
    }
    values: dict[str, list[float]] = {name: [] for name in takes}

    for name, milliseconds in alternate(takes, rounds=min(scale.rounds, 5)):
        values[name].append(milliseconds)

    return Figure(
        name="six-sync-parts-far",
        title="Six sync parts of 0.2 s, 150 ms away: all of them",
        unit="ms",
        note="A simulated link: 150 ms there and back, and as much for each "
        "connection, which is opened anew. Six at once are as many as a browser opens "
        "with HTTP/1.1.",
        series=[
            Series(
                label=name,
                kind="ours" if name.startswith("ours") else "peer",
                values=of_one,
            )
            for name, of_one in values.items()
        ],
    )


def _at_once(clients: list[HttpClient]) -> Take:
    """Each part by a request of its own, as single-page applications do."""

    def ask(asked: tuple[int, HttpClient]) -> Answer:
        number, client = asked

        return client.get(f"/drf/one/part{number}/")

    began = time.perf_counter()

    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(ask, enumerate(clients)))

    return min(answer.first for answer in answers), time.perf_counter() - began


def _figures(
    kind: str,
    takes: dict[str, Callable[[], Take]],
    kinds: dict[str, Kind],
    scale: Scale,
    database: dict[str, str],
) -> list[Figure]:
    first: dict[str, list[float]] = {name: [] for name in takes}
    whole: dict[str, list[float]] = {name: [] for name in takes}
    left = {}

    for name, take in takes.items():
        before = _connections(database)
        take()
        left[name] = _connections(database) - before

    for name, (beginning, end) in alternate(takes, rounds=scale.rounds):
        first[name].append(beginning * 1e3)
        whole[name].append(end * 1e3)

    of = "SELECT pg_sleep(0.2)" if kind == "sync" else "asyncio.sleep(0.2)"
    note = f"Each part is `{of}`; THREADS is what it is by default."

    if kind == "sync":
        open_ = [f"{count} by «{name}»" for name, count in left.items() if count]
        note += f" Connections left open: {', '.join(open_) or 'none'}."

    return [
        Figure(
            name=f"six-{kind}-parts",
            title=f"Six {kind} parts of 0.2 s: all of them",
            unit="ms",
            goal="0.26 s at most, and no connection left" if kind == "sync" else "",
            note=note,
            series=[
                Series(label=name, kind=kinds[name], values=of_one)
                for name, of_one in whole.items()
            ],
        ),
        Figure(
            name=f"six-{kind}-parts-first",
            title=f"Six {kind} parts of 0.2 s: the first bytes of the body",
            unit="ms",
            goal="5 ms at most",
            note=note,
            series=[
                Series(label=name, kind=kinds[name], values=of_one)
                for name, of_one in first.items()
                if name != FLOOR
            ],
        ),
    ]


def _http(client: HttpClient, path: str, accept: str) -> Callable[[], Take]:
    def take() -> Take:
        answer = client.get(path, accept)

        return answer.first, answer.last

    return take


def _socket(stack: contextlib.ExitStack, port: int, url: str) -> Callable[[], Take]:
    socket = stack.enter_context(
        connect(
            f"ws://127.0.0.1:{port}/ws/partstream/",
            subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
            compression=None,
        )
    )
    socket.send(json.dumps({"type": "connection_init"}))
    socket.recv()
    numbers = iter(range(1_000_000))

    def take() -> Take:
        identifier = str(next(numbers))
        wanted: dict[str, Any] = {"type": "subscribe", "id": identifier}
        wanted["payload"] = {"url": url}
        began = time.perf_counter()
        socket.send(json.dumps(wanted))
        socket.recv()
        first = time.perf_counter() - began

        while json.loads(socket.recv())["type"] != "complete":
            pass

        return first, time.perf_counter() - began

    return take


def _connections(database: dict[str, str]) -> int:
    """How many clients the server has, after those that leave have left."""
    names = {
        "PGHOST": "host",
        "PGPORT": "port",
        "PGUSER": "user",
        "PGDATABASE": "dbname",
    }
    given = {names[key]: value for key, value in database.items()}
    time.sleep(0.1)

    with psycopg.connect(**given) as connection:  # type: ignore[arg-type]
        row = connection.execute(CONNECTIONS).fetchone()

    assert row is not None  # a count has one

    return int(row[0]) - 1
