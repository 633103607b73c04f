"""An application for a server of its own, whose garbage is never collected."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
gc.disable()

for name, value in json.loads(os.environ.get("TEST_SITE", "{}")).items():
    setattr(settings, name, value)

settings.ROOT_URLCONF = __name__
# Threads and connections are counted here, those of an embedded worker not.
settings.PARTSTREAM = {**getattr(settings, "PARTSTREAM", {}), "QUEUE": "database"}
django.setup()

# After the settings, which all of these read.
from asgiref.sync import async_to_sync  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from django_partstream import ProgressiveView, lazy, offload  # noqa: E402
from django_partstream.asgi import get_application  # noqa: E402

ENDLESS = {
    "postgresql": "SELECT pg_sleep(1000)",
    # Cannot be ended.
    "mysql": "SELECT SLEEP(0.2)",
    "sqlite": (
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)"
        " SELECT count(sleep(0.005)) FROM numbers"
    ),
}

#: What parts have begun and not ended.
running: set[object] = set()


@contextlib.contextmanager
def begun() -> Iterator[None]:
    me = object()
    running.add(me)

    try:
        yield
    finally:
        running.remove(me)


def endless() -> None:
    connection.ensure_connection()

    if connection.vendor == "sqlite":
        raw: Any = connection.connection
        raw.create_function("sleep", 1, time.sleep)

    with begun(), connection.cursor() as cursor:
        cursor.execute(ENDLESS[connection.vendor])
        cursor.fetchall()


class Endless(ProgressiveView):
    """Work of every kind, none of which ends by itself."""

    authentication_classes: list[Any] = []

    def get_parts(self) -> Any:
        return [
            ("ready", 1),
            ("statement", lazy(endless)),
            ("nested", lazy(self.nested)),
            ("rows", lazy(self.rows)),
            ("coroutine", lazy(self.coroutine)),
            ("items", lazy(self.items)),
            ("timed", lazy(endless, timeout=0.05)),
        ]

    def nested(self) -> None:
        async def inner() -> None:
            await offload.run_sync(endless)

        with begun():
            async_to_sync(inner)()

    def rows(self) -> Iterator[int]:
        with begun(), connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT 1")
                yield cursor.fetchone()[0]

    async def coroutine(self) -> None:
        with begun():
            await asyncio.Event().wait()

    async def items(self) -> AsyncIterator[int]:
        with begun():
            yield 1
            await asyncio.Event().wait()


async def state(_: HttpRequest) -> JsonResponse:
    threads = [thread.name for thread in threading.enumerate()]
    numbers = offload.statistics()

    return JsonResponse(
        {
            "running": len(running),
            "tasks": len(asyncio.all_tasks()),
            "ours": len([name for name in threads if name.startswith("partstream-")]),
            "others": len(
                [name for name in threads if not name.startswith("partstream-")]
            ),
            "pool": [numbers.running, numbers.waiting, numbers.abandoned],
            "files": [
                str(os.readlink(f"/proc/self/fd/{file}"))  # noqa: PTH115
                for file in os.listdir("/proc/self/fd")  # noqa: PTH208
                if os.path.lexists(f"/proc/self/fd/{file}")
                # SQLite keeps the files of the database open longer than connections.
            ].count(f"{settings.DATABASES['default']['NAME']}-wal"),
        }
    )


urlpatterns = [path("endless/", Endless.as_view()), path("state/", state)]
application = get_application(background=contextlib.nullcontext)
