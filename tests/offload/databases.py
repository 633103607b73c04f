"""Slow statements on each database, and who runs them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection, connections

from tests.settings import TEST_DATABASE

#: How connections are kept: opened anew, by their thread, or by Django's own pool.
KEPT = ("anew", "thread", *(("pool",) if TEST_DATABASE == "postgresql" else ()))

SLEEP = {
    "postgresql": "SELECT pg_sleep(%s)",
    "mysql": "SELECT SLEEP(%s)",
    "sqlite": "SELECT sleep(%s)",
}

#: Counts for ever; SQLite looks now and then whether it was interrupted.
FOR_EVER = {
    "postgresql": "SELECT pg_sleep(1000)",
    "mysql": "SELECT SLEEP(1000)",
    "sqlite": (
        "WITH RECURSIVE numbers(n) AS "
        "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT max(n) FROM numbers"
    ),
}


def sleep(seconds: float) -> None:
    """In the database, through the ORM's connection of this thread."""
    connection.ensure_connection()

    if connection.vendor == "sqlite":
        raw: Any = connection.connection
        raw.create_function("sleep", 1, time.sleep)

    with connection.cursor() as cursor:
        cursor.execute(SLEEP[connection.vendor], [seconds])
        cursor.fetchall()


def for_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute(FOR_EVER[connection.vendor])
        cursor.fetchall()


@contextlib.contextmanager
def kept(how: str, *, seconds: float = 60.0) -> Iterator[None]:
    """Have threads that begin in here open their connections in this way."""
    settings = connections.settings["default"]
    before = {**settings, "OPTIONS": {**settings["OPTIONS"]}}
    connection.close()

    if how == "pool":
        settings["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 6, "timeout": 10}

    if how == "thread":
        settings["CONN_MAX_AGE"] = seconds

    try:
        yield
    finally:
        connection.close()

        if how == "pool":
            connection.close_pool()  # type: ignore[attr-defined]

        settings.update(before)


def open_connections(*, state: str | None = None) -> set[int]:
    """The connections that there are, of whatever thread; `state`: of PostgreSQL."""
    name = connections.settings["default"]["NAME"]

    if connection.vendor == "sqlite":
        files = Path("/proc/self/fd").iterdir()

        # Not those of the database itself: while one connection has it locked, which
        # in WAL mode each does, SQLite closes no file of the others.
        return {int(file.name) for file in files if _target(file) == f"{name}-wal"}

    parameters = connection.get_connection_params()

    database: Any = connection

    with contextlib.closing(database.Database.connect(**parameters)) as observer:
        cursor = observer.cursor()

        if connection.vendor == "mysql":
            cursor.execute(
                "SELECT id FROM information_schema.processlist"
                " WHERE db = %s AND id <> connection_id()",
                [name],
            )
        else:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s"
                " AND pid <> pg_backend_pid() AND (%s::text IS NULL OR state = %s)"
                # Not those of the server itself, which cleans up when it likes.
                " AND backend_type = 'client backend'",
                [name, state, state],
            )

        return {row[0] for row in cursor.fetchall()}


def _target(file: Path) -> str | None:
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return None
