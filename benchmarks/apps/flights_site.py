"""A server that takes flights, works on their jobs where BENCH_QUEUE is embedded, and
tells at `/lag/` how late its event loop was."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.apps.flights_settings"

from django_partstream.asgi import get_application

__all__ = ("application",)

#: How often the loop is asked to be in time.
EVERY_SECONDS = 0.01

_django = get_application()
_late: list[float] = []
_tasks: list[asyncio.Task[None]] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/lag/":
        if not _tasks:
            _tasks.append(asyncio.create_task(_measure()))

        body = json.dumps(_late).encode()
        _late.clear()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": body})
    else:
        await _django(scope, receive, send)


async def _measure() -> None:
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(EVERY_SECONDS)
        _late.append(max(0.0, time.perf_counter() - asked - EVERY_SECONDS))
