"""Many sockets on one job, or on one live topic: what a delivery costs the server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import resource
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from asgi_example import services

from . import projects
from .clients import Crowd, HttpClient
from .measuring import Figure, Kind, Scale, Series, alternate, exponent
from .servers import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("measure",)

SOCKETS = (1, 100, 1000)
LOOP = "a loop over ASGI send"
ASKED = "Django asked for each, and send"
#: The applications, and the channel layer of each.
SERVERS: dict[str, tuple[Kind, str, str]] = {
    LOOP: ("floor", "floors", ""),
    ASKED: ("floor", "asked", ""),
    "channels-redis core, and the loop": ("floor", "layers", "core"),
    "channels-redis pubsub, and the loop": ("floor", "layers", "pubsub"),
    "in memory": ("ours", "ours", "memory"),
    "channels-redis core": ("ours", "ours", "core"),
    "channels-redis pubsub": ("ours", "ours", "pubsub"),
}
#: Of SQLite, Redis and the client, beside the sockets.
OTHER_FILES = 500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What sockets follow."""

    name: str
    title: str
    goal: str
    #: What is sent, in words.
    sent: str
    #: Who of the floors does the same.
    without: frozenset[str]
    #: Of ours: what a socket subscribes to, and how many messages it hears before the
    #: first event.
    payload: dict[str, Any]
    greetings: int
    #: Where an event is asked for, how often in a round, and in how many rounds at
    #: most.
    event: str
    events: int
    rounds: int


JOB = Followed(
    name="fan-out",
    title="on one job",
    goal="≤ 1.5 x the loop at 1,000 sockets",
    sent="10 snapshots, each sent when the last socket has the one before",
    without=frozenset({ASKED}),
    payload={"url": f"/api/operations/{projects.JOB}/events/"},
    # Acknowledged, `start`, and the row as it stands.
    greetings=3,
    event="/event/",
    events=10,
    rounds=5,
)
TOPIC = Followed(
    name="fan-out-live",
    title="on one live topic",
    goal="",
    sent="One publish, sent when the last socket has what came of the one before. For "
    "each socket the whole of Django is asked again whether it may see the part, "
    "which is made again; at first there is a pause of up to 0.1 s",
    without=frozenset(name for name, (_, app, _) in SERVERS.items() if app == "layers"),
    payload={"url": "/changing/", "live": True},
    # Acknowledged, `start`, the part, and `live`.
    greetings=4,
    event="/change/",
    events=1,
    rounds=5,
)


def measure(scale: Scale) -> Iterator[Figure]:
    with _servers(scale) as running:
        for followed in (JOB, TOPIC) if scale.is_whole else (JOB,):
            yield from _of(followed, running, scale)


def _of(
    followed: Followed, running: Mapping[str, Server], scale: Scale
) -> Iterator[Figure]:
    taking_part = {
        name: server for name, server in running.items() if name not in followed.without
    }
    cpu: dict[tuple[int, str], list[float]] = {}
    latency: dict[tuple[int, str], list[float]] = {}
    sizes = sorted({scale.count(size) for size in SOCKETS})

    for size in sizes:
        with contextlib.ExitStack() as stack:
            takes = {
                name: functools.partial(
                    stack.enter_context(_opened(name, server, size, followed, scale)),
                    followed.events,
                )
                for name, server in taking_part.items()
            }

            for name, (cost, last) in alternate(
                takes, rounds=min(scale.rounds, followed.rounds)
            ):
                cpu.setdefault((size, name), []).append(cost)
                latency.setdefault((size, name), []).append(last)

        yield _figure(
            followed,
            size,
            {name: cpu[size, name] for name in taking_part},
            {name: latency[size, name] for name in taking_part},
            _growth(sizes, taking_part, cpu) if size == sizes[-1] else "",
        )


def _growth(
    sizes: list[int],
    names: Mapping[str, Server],
    cpu: Mapping[tuple[int, str], list[float]],
) -> str:
    """How the cost of an event grows with the sockets: 1 is linear."""
    if len(sizes) < 2:
        return ""

    grown = "; ".join(
        f"{name} {exponent(sizes, [of * median(cpu[of, name]) for of in sizes]):.2f}"
        for name in names
    )

    return (
        f" From {sizes[0]} to {sizes[-1]:,} sockets the cost of an event grows with "
        f"the power of: {grown}."
    )


def _figure(
    followed: Followed,
    size: int,
    cpu: Mapping[str, list[float]],
    latency: Mapping[str, list[float]],
    growth: str,
) -> Figure:
    last = "; ".join(
        f"{name} {median(values):.1f} ms" for name, values in latency.items()
    )

    return Figure(
        name=f"{followed.name}-{size}",
        title=f"{size:,} sockets {followed.title}: server CPU per delivery",
        unit="µs",
        goal=followed.goal,
        note=f"{followed.sent}; with its request and, over Redis, the way there and "
        "back. The loop sends text that is encoded once. Until the last socket had "
        f"it, median: {last}.{growth}",
        series=[
            Series(label=name, kind=SERVERS[name][0], values=values)
            for name, values in cpu.items()
        ],
    )


@contextlib.contextmanager
def _servers(scale: Scale) -> Iterator[dict[str, Server]]:
    _allow_files(len(SERVERS) * scale.count(max(SOCKETS)) + OTHER_FILES)

    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(services.redis())
        database = stack.enter_context(projects.sqlite())

        yield {
            name: stack.enter_context(
                serve(
                    f"{application}:application",
                    environment={
                        **database,
                        "BENCH_LAYER": layer or "memory",
                        "BENCH_REDIS": redis.url,
                    },
                )
            )
            for name, (_, application, layer) in SERVERS.items()
        }


def _allow_files(wanted: int) -> None:
    """Raise the soft limit for us and the servers, which is 1,024 in most shells."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


@contextlib.contextmanager
def _opened(
    name: str, server: Server, count: int, followed: Followed, scale: Scale
) -> Iterator[_Take]:
    """Open `count` sockets to the server, for as long as this scope lasts."""
    is_ours = SERVERS[name][0] == "ours"
    path = "/ws/partstream/" if is_ours else "/ws/"
    script = _script(followed.payload) if is_ours else {}

    with (
        asyncio.Runner() as runner,
        HttpClient(server.port, timeout=scale.patience) as driver,
    ):
        crowd = runner.run(
            Crowd.open(
                server.port,
                path,
                script,
                count,
                greetings=followed.greetings if is_ours else 1,
                patience=scale.patience,
            )
        )
        take = _Take(server, runner, driver, crowd, followed.event, scale.patience)
        # One goes ahead, which makes what is made but once.
        take(1)

        yield take

        runner.run(crowd.leave())
        _until_gone(server, scale.patience)


@dataclasses.dataclass(frozen=True, slots=True)
class _Take:
    """Called with a number of events: microseconds of server CPU per delivery, and
    milliseconds to the last socket."""

    server: Server
    runner: asyncio.Runner
    driver: HttpClient
    crowd: Crowd
    event: str
    patience: float

    def __call__(self, events: int) -> tuple[float, float]:
        before = self.server.cpu_seconds
        times = [self.runner.run(self._event()) for _ in range(events)]
        cost = (self.server.cpu_seconds - before) / (events * self.crowd.size)

        return cost * 1e6, median(times) * 1e3

    async def _event(self) -> float:
        began = time.perf_counter()
        asked = asyncio.to_thread(self.driver.post, self.event)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asked)
            await self.crowd.hear(1, self.patience)

        return time.perf_counter() - began


def _script(payload: dict[str, Any]) -> dict[int, Any]:
    """What a socket says, each after so many messages heard."""
    return {
        0: {"type": "connection_init"},
        1: {"id": "1", "type": "subscribe", "payload": payload},
    }


def _until_gone(server: Server, patience: float) -> None:
    """Wait until the server has forgotten the sockets."""
    ends_at = time.monotonic() + patience

    with HttpClient(server.port) as driver:
        while b'"sockets": 0' not in driver.get("/ready/").body:
            if time.monotonic() > ends_at:
                raise TimeoutError("The server holds on to sockets that have left.")

            time.sleep(0.05)
