"""Views that are declared wrongly, each in one way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django_partstream import ProgressiveView, cached_for, lazy, safe_call, with_timeout

#: `password` must never leave the server.
Parts = Callable[[Any], Any]

PARTS: dict[str, Parts] = {
    "no-list": lambda view: None,
    "dict": lambda view: {"password": 1},
    "called": lambda view: [("data", lazy(view.get_data()))],
    "called-safe": lambda view: [("data", lazy(safe_call(view.get_data())))],
    "called-async": lambda view: [("data", lazy(view.get_async()))],
    "two-arguments": lambda view: [("data", lazy(lambda request, password: 1))],
    "twice": lambda view: [("password", 1), ("password", 2)],
    "without-lazy": lambda view: [("password", view.get_data)],
    "composed-without-lazy": lambda view: [("password", safe_call(view.get_data))],
    "no-pair": lambda view: ["password"],
    "number": lambda view: [(7, "password")],
    "comma": lambda view: [("pass,word", 1)],
    "timeout": lambda view: [("data", lazy(view.get_data, timeout=-1))],
    "timeout-text": lambda view: [("data", lazy(view.get_data, timeout="30"))],  # type: ignore[arg-type]
    "thread": lambda view: [("data", lazy(view.get_data, thread="own"))],  # type: ignore[arg-type]
    "topics": lambda view: [("data", lazy(view.get_data, topics="orders"))],
    "serializer": lambda view: [("data", lazy(view.get_data, serializer=object()))],  # type: ignore[arg-type]
    "no-seconds": lambda view: [("data", lazy(with_timeout(view.get_data)))],
    "ttl": lambda view: [("data", lazy(cached_for(0)(view.get_data)))],
    "unknown": lambda view: [("data", lazy(safe_call(view.over_a_lock(password=1))))],
    "lazy-inside": lambda view: [("data", safe_call(lazy(view.get_data)))],  # type: ignore[call-overload]
    "lazy-twice": lambda view: [("data", lazy(lazy(view.get_data)))],  # type: ignore[arg-type]
}


def mistaken(parts: Parts) -> type[ProgressiveView]:
    class Mistaken(ProgressiveView):
        def get_parts(self) -> Any:
            return parts(self)

        def get_data(self, request: Any = None) -> Any:
            return {"password": "hunter2"}

        def over_a_lock(self, password: int) -> Any:
            lock = threading.Lock()

            return cached_for(60)(lambda: lock.locked())

        async def get_async(self) -> Any:
            return {"password": "hunter2"}

    return Mistaken


VIEWS = {name: mistaken(parts) for name, parts in PARTS.items()}
