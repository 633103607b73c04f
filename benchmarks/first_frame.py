"""From the request to the first frame, and to the end of a stream of three parts."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import projects
from .clients import HttpClient
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import Meter
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clients import Answer

__all__ = ("measure",)

NDJSON = "application/x-ndjson"
JSON = "application/json"
#: Requests of one round; their median is the round's value.
REQUESTS = 100
#: Where they ask, and what for.
TAKES: dict[str, tuple[Kind, str, str, str]] = {
    "bare ASGI": ("floor", "floors", "/frames/", NDJSON),
    "Starlette": ("peer", "starlette", "/frames/", NDJSON),
    "FastAPI": ("peer", "fastapi", "/frames/", NDJSON),
    "Django, StreamingHttpResponse": ("peer", "django", "/django/frames/", NDJSON),
    "Django, JsonResponse in full": ("peer", "django", "/plain/", JSON),
    "plain DRF, in full": ("peer", "django", "/drf/frames/", JSON),
    "adrf, in full": ("peer", "django", "/adrf/frames/", JSON),
    "ours, NDJSON": ("ours", "ours", "/frames/", NDJSON),
    "ours, SSE": ("ours", "ours", "/frames/", "text/event-stream"),
}


def measure(scale: Scale) -> list[Figure]:
    requests = scale.count(REQUESTS, at_least=3)
    first: dict[str, list[float]] = {name: [] for name in TAKES}
    whole: dict[str, list[float]] = {name: [] for name in TAKES}

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
        clients = {
            name: stack.enter_context(HttpClient(server.port))
            for name, server in running.items()
        }
        meters = {
            name: Meter(running[server], each=requests)
            for name, (_, server, _, _) in TAKES.items()
        }
        takes = {
            name: meters[name](_take(clients[server], path, accept, requests))
            for name, (_, server, path, accept) in TAKES.items()
        }

        for take in takes.values():
            take()

        for name, (beginning, end) in alternate(takes, rounds=scale.rounds):
            first[name].append(beginning)
            whole[name].append(end)

    note = (
        f"Each value is the median of {requests} requests over one connection that is "
        "kept; no middleware, no authentication. The floor, Starlette, FastAPI and "
        "Django send five frames that are ready made; ours makes a plan, runs three "
        "parts, encodes and signs. Plain DRF and adrf answer once, with all of it."
    )

    return [
        Figure(
            name="first-frame",
            title="First frame of a stream",
            unit="ms",
            goal="bare ASGI + 1.5 ms at most",
            note=note,
            series=_series(first, meters),
        ),
        Figure(
            name="first-frame-whole",
            title="The whole stream of three trivial parts",
            unit="ms",
            note=note,
            series=_series(whole, meters),
        ),
    ]


def _take(
    client: HttpClient, path: str, accept: str, requests: int
) -> Callable[[], tuple[float, float]]:
    def take() -> tuple[float, float]:
        answers: list[Answer] = [client.get(path, accept) for _ in range(requests)]
        first = sorted(answer.first for answer in answers)[requests // 2]
        last = sorted(answer.last for answer in answers)[requests // 2]

        return first * 1e3, last * 1e3

    return take


def _series(values: dict[str, list[float]], meters: dict[str, Meter]) -> list[Series]:
    return [
        Series(
            label=name,
            kind=TAKES[name][0],
            values=of,
            costs=meters[name].costs(len(of)),
        )
        for name, of in values.items()
    ]
