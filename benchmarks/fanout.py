"""Many sockets on one job: what a delivery costs the server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from typing import TYPE_CHECKING

from asgi_example import services

from . import projects
from .clients import HttpClient, followers
from .measuring import Figure, Kind, Scale, Series, alternate
from .servers import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("measure",)

SOCKETS = (1, 100, 1000)
EVENTS = 20
#: How the servers are called, and what of them is ours.
SERVERS: dict[str, Kind] = {
    "a loop over ASGI send": "floor",
    "in memory": "ours",
    "channels-redis core": "ours",
    "channels-redis pubsub": "ours",
}
#: What a follower of a job says, each after so many messages heard.
SCRIPT = {
    0: {"type": "connection_init"},
    1: {
        "id": "1",
        "type": "subscribe",
        "payload": {"url": f"/api/operations/{projects.JOB}/events/"},
    },
}
#: Acknowledged, `start`, and the row as it stands.
GREETINGS = 3


def measure(scale: Scale) -> list[Figure]:
    cpu: dict[tuple[int, str], list[float]] = {}
    latency: dict[tuple[int, str], list[float]] = {}
    sizes = sorted({scale.count(size) for size in SOCKETS})

    with _servers() as running:
        for size in sizes:
            takes = {
                name: functools.partial(_take, running[name], size, scale, name)
                for name in running
            }

            for name, (cost, last) in alternate(takes, rounds=min(scale.rounds, 5)):
                cpu.setdefault((size, name), []).append(cost)
                latency.setdefault((size, name), []).append(last)

    return [
        _figure(
            size,
            {name: values for (of, name), values in cpu.items() if of == size},
            {name: values for (of, name), values in latency.items() if of == size},
        )
        for size in sizes
    ]


def _figure(
    size: int, cpu: dict[str, list[float]], latency: dict[str, list[float]]
) -> Figure:
    last = "; ".join(
        f"{name} {sorted(values)[len(values) // 2]:.1f} ms"
        for name, values in latency.items()
    )

    return Figure(
        name=f"fan-out-{size}",
        title=f"{size:,} sockets on one job: server CPU per delivery",
        unit="µs",
        goal="≤ 1.5 x the loop at 1,000 sockets",
        note=f"{EVENTS} snapshots, each sent when the last socket has the one before; "
        "with its request and, over Redis, the way there and back. The loop sends text "
        f"that is encoded once. Until the last socket had it, median: {last}.",
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


def _take(server: Server, count: int, scale: Scale, name: str) -> tuple[float, float]:
    taken = asyncio.run(_round(server, count, scale, ours=SERVERS[name] == "ours"))
    _until_gone(server, scale.patience)

    return taken


async def _round(
    server: Server, count: int, scale: Scale, *, ours: bool
) -> tuple[float, float]:
    """Microseconds of server CPU per delivery, milliseconds to the last socket."""
    heard = 0
    wanted = count * (GREETINGS if ours else 1)
    complete = asyncio.Event()

    def on_message() -> None:
        nonlocal heard
        heard += 1

        if heard >= wanted:
            complete.set()

    path, script = ("/ws/partstream/", SCRIPT) if ours else ("/ws/", {})
    opened = await followers(server.port, path, script, count, on_message)
    times: list[float] = []

    with HttpClient(server.port, timeout=scale.patience) as driver:
        async with asyncio.timeout(scale.patience):
            await complete.wait()

        # One goes ahead, which makes what is made but once.
        for number in range(EVENTS + 1):
            if number == 1:
                before = server.cpu_seconds

            wanted += count
            complete.clear()
            began = time.perf_counter()
            await asyncio.to_thread(driver.post, "/event/")

            async with asyncio.timeout(scale.patience):
                await complete.wait()

            times.append(time.perf_counter() - began)

    cost = (server.cpu_seconds - before) / (EVENTS * count)

    for follower in opened:
        follower.transport.abort()

    return cost * 1e6, sorted(times)[len(times) // 2] * 1e3


def _until_gone(server: Server, patience: float) -> None:
    """Wait until the server has forgotten the sockets."""
    ends_at = time.monotonic() + patience

    with HttpClient(server.port) as driver:
        while b'"sockets": 0' not in driver.get("/ready/").body:
            if time.monotonic() > ends_at:
                raise TimeoutError("The server holds on to sockets that have left.")

            time.sleep(0.05)
