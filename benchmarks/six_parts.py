"""Six parts of 0.2 s: sync ones that wait for PostgreSQL, and async ones."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
from websockets.sync.client import connect

from . import projects
from .clients import Answer, HttpClient
from .link import slow_link
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import LEFT, Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .databases import Database

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
FASTAPI_AT_ONCE = "FastAPI, six requests at once"
STARLETTE = "Starlette, StreamingResponse"
#: Of the link that a page is far away by: seconds there and back.
ROUND_TRIP = 0.15
SOCKET = "ours, WebSocket"
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
)


def measure(scale: Scale) -> Iterator[Figure]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(projects.postgresql(counted=True))
        floors = stack.enter_context(serve("floors:application"))
        server = stack.enter_context(serve("ours:application", environment=database))
        fastapi = stack.enter_context(
            serve("fastapi_peer:application", environment=database)
        )
        starlette = stack.enter_context(
            serve("starlette_peer:application", environment=database)
        )
        floor = _http(stack.enter_context(HttpClient(floors.port)), "/sleep/", JSON)

        for kind, of_kind in TAKES.items():
            takes = {FLOOR: floor}
            kinds: dict[str, Kind] = {FLOOR: "floor", SOCKET: "ours"}
            meters: dict[str, Meter] = defaultdict(
                lambda: Meter(server, database=database)
            )
            meters[FLOOR] = Meter(floors)
            meters[FASTAPI] = Meter(fastapi, database=database)
            meters[FASTAPI_AT_ONCE] = Meter(fastapi, database=database)
            meters[STARLETTE] = Meter(starlette, database=database)

            for name, (series, path, accept) in of_kind.items():
                client = stack.enter_context(HttpClient(server.port))
                takes[name] = _http(client, path, accept)
                kinds[name] = series

            if kind == "sync":
                for name, asked, path in (
                    (AT_ONCE, server, "/drf/one"),
                    (FASTAPI_AT_ONCE, fastapi, "/one"),
                ):
                    clients = [
                        stack.enter_context(HttpClient(asked.port)) for _ in range(6)
                    ]
                    takes[name] = functools.partial(_at_once, clients, path)
                    kinds[name] = "peer"

            for name, peer in ((FASTAPI, fastapi), (STARLETTE, starlette)):
                client = stack.enter_context(HttpClient(peer.port))
                takes[name] = _http(client, f"/six/?kind={kind}", NDJSON)
                kinds[name] = "peer"

            takes[SOCKET] = _socket(stack, server.port, f"/six/?kind={kind}")
            takes = {name: meters[name](take) for name, take in takes.items()}
            yield from _figures(kind, takes, kinds, meters, scale, database)

        if scale.is_whole:
            with slow_link(server.port, round_trip=ROUND_TRIP) as far:
                yield _far(far, scale)


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


def _at_once(clients: list[HttpClient], path: str = "/drf/one") -> Take:
    """Each part by a request of its own, as single-page applications do."""

    def ask(asked: tuple[int, HttpClient]) -> Answer:
        number, client = asked

        return client.get(f"{path}/part{number}/")

    began = time.perf_counter()

    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(ask, enumerate(clients)))

    return min(answer.first for answer in answers), time.perf_counter() - began


def _figures(
    kind: str,
    takes: dict[str, Callable[[], Take]],
    kinds: dict[str, Kind],
    meters: dict[str, Meter],
    scale: Scale,
    database: Database,
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
                Series(
                    label=name,
                    kind=kinds[name],
                    values=of_one,
                    costs={
                        **meters[name].costs(len(of_one)),
                        **({LEFT: [left[name]]} if kind == "sync" else {}),
                    },
                    statements=meters[name].statements(),
                )
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


def _connections(database: Database) -> int:
    """How many clients the server has, after those that leave have left."""
    time.sleep(0.1)

    with psycopg.connect(**database.address) as connection:
        row = connection.execute(CONNECTIONS).fetchone()

    assert row is not None  # a count has one

    return int(row[0]) - 1
