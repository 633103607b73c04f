"""Many sockets on one job: what a delivery costs the server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from asgi_example import services

from . import projects
from .clients import HttpClient, followers
from .measuring import Figure, Kind, Scale, Series, alternate, exponent
from .servers import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("measure",)

SOCKETS = (1, 100, 1000)
#: How the servers are called, and what of them is ours.
SERVERS: dict[str, Kind] = {
    "a loop over ASGI send": "floor",
    "in memory": "ours",
    "channels-redis core": "ours",
    "channels-redis pubsub": "ours",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What sockets follow."""

    name: str
    title: str
    goal: str
    #: What is sent, in words.
    sent: str
    #: Of ours: what a socket subscribes to, and how many messages it hears before the
    #: first event.
    payload: dict[str, Any]
    greetings: int
    #: Where an event is asked for, how often, and in how many rounds at most.
    event: str
    events: int
    rounds: int


JOB = Followed(
    name="fan-out",
    title="on one job",
    goal="≤ 1.5 x the loop at 1,000 sockets",
    sent="20 snapshots, each sent when the last socket has the one before",
    payload={"url": f"/api/operations/{projects.JOB}/events/"},
    # Acknowledged, `start`, and the row as it stands.
    greetings=3,
    event="/event/",
    events=20,
    rounds=5,
)
TOPIC = Followed(
    name="fan-out-live",
    title="on one live topic",
    goal="",
    sent="3 publishes, each when the last socket has what came of the one "
    "before. For each socket the whole of Django is asked again whether it may see "
    "the part, which is made again; at first there is a pause of up to 0.1 s",
    payload={"url": "/changing/", "live": True},
    # Acknowledged, `start`, the part, and `live`.
    greetings=4,
    event="/change/",
    events=3,
    rounds=2,
)


def measure(scale: Scale) -> list[Figure]:
    with _servers() as running:
        return _of(JOB, running, scale) + _of(TOPIC, running, scale)


def _of(followed: Followed, running: dict[str, Server], scale: Scale) -> list[Figure]:
    cpu: dict[tuple[int, str], list[float]] = {}
    latency: dict[tuple[int, str], list[float]] = {}
    sizes = sorted({scale.count(size) for size in SOCKETS})
    rounds = min(scale.rounds, followed.rounds)

    for size in sizes:
        takes = {
            name: functools.partial(
                _take, running[name], size, scale, followed if is_ours(name) else None
            )
            for name in running
        }

        for name, (cost, last) in alternate(takes, rounds=rounds):
            cpu.setdefault((size, name), []).append(cost)
            latency.setdefault((size, name), []).append(last)

    return [
        _figure(
            followed,
            size,
            {name: values for (of, name), values in cpu.items() if of == size},
            {name: values for (of, name), values in latency.items() if of == size},
            _growth(sizes, cpu) if size == sizes[-1] else "",
        )
        for size in sizes
    ]


def is_ours(name: str) -> bool:
    return SERVERS[name] == "ours"


def _growth(sizes: list[int], cpu: dict[tuple[int, str], list[float]]) -> str:
    """How the cost of an event grows with the sockets: 1 is linear."""
    if len(sizes) < 2:
        return ""

    grown = "; ".join(
        f"{name} {exponent(sizes, [of * median(cpu[of, name]) for of in sizes]):.2f}"
        for name in SERVERS
    )

    return (
        f" From {sizes[0]} to {sizes[-1]:,} sockets the cost of an event grows with "
        f"the power of: {grown}."
    )


def _figure(
    followed: Followed,
    size: int,
    cpu: dict[str, list[float]],
    latency: dict[str, list[float]],
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
            Series(label=name, kind=SERVERS[name], values=values)
            for name, values in cpu.items()
        ],
    )


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, Server]]:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(services.redis())
        database = stack.enter_context(projects.sqlite())
        running = {
            "a loop over ASGI send": stack.enter_context(serve("floors:application"))
        }

        for name, layer in (
            ("in memory", "memory"),
            ("channels-redis core", "core"),
            ("channels-redis pubsub", "pubsub"),
        ):
            environment = {**database, "BENCH_LAYER": layer, "BENCH_REDIS": redis.url}
            running[name] = stack.enter_context(
                serve("ours:application", environment=environment)
            )

        yield running


def _take(
    server: Server, count: int, scale: Scale, followed: Followed | None
) -> tuple[float, float]:
    taken = asyncio.run(_round(server, count, scale, followed))
    _until_gone(server, scale.patience)

    return taken


async def _round(
    server: Server, count: int, scale: Scale, followed: Followed | None
) -> tuple[float, float]:
    """Microseconds of server CPU per delivery, milliseconds to the last socket. Of the
    loop where nothing is `followed`."""
    heard = 0
    wanted = count * (followed.greetings if followed else 1)
    complete = asyncio.Event()

    def on_message() -> None:
        nonlocal heard
        heard += 1

        if heard >= wanted:
            complete.set()

    path = "/ws/partstream/" if followed else "/ws/"
    script = _script(followed.payload) if followed else {}
    event = (followed or JOB).event
    events = (followed or JOB).events
    opened = await followers(server.port, path, script, count, on_message)
    times: list[float] = []

    with HttpClient(server.port, timeout=scale.patience) as driver:
        async with asyncio.timeout(scale.patience):
            await complete.wait()

        # One goes ahead, which makes what is made but once.
        for number in range(events + 1):
            if number == 1:
                before = server.cpu_seconds

            wanted += count
            complete.clear()
            began = time.perf_counter()
            await asyncio.to_thread(driver.post, event)

            async with asyncio.timeout(scale.patience):
                await complete.wait()

            times.append(time.perf_counter() - began)

    cost = (server.cpu_seconds - before) / (events * count)

    for follower in opened:
        follower.transport.abort()

    return cost * 1e6, sorted(times)[len(times) // 2] * 1e3


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
