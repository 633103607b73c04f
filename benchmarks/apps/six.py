"""Six slow parts without Django: queries of a pool of connections, and lines as they
come."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import orjson
from psycopg_pool import ConnectionPool
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("lines", "slow_query")

SIX = tuple(f"part{number}" for number in range(6))
NAMES = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}

_pool = ConnectionPool(
    kwargs={name: os.environ[key] for key, name in NAMES.items() if key in os.environ},
    min_size=6,
    max_size=6,
    # Who is asked for other things has no database.
    open="PGHOST" in os.environ,
)


def slow_query() -> list[int]:
    with _pool.connection() as connection:
        connection.execute("SELECT pg_sleep(0.2)")

    return [1, 2, 3]


async def slow_call() -> list[int]:
    await asyncio.sleep(0.2)

    return [1, 2, 3]


async def lines(kind: str) -> AsyncIterator[bytes]:
    """Of each part as it is made; the queries run in Starlette's thread pool."""

    async def one(name: str) -> dict[str, Any]:
        made = run_in_threadpool(slow_query) if kind == "sync" else slow_call()

        return {"type": "part", "name": name, "data": await made}

    yield orjson.dumps({"type": "start", "parts": SIX}) + b"\n"

    for part in asyncio.as_completed([one(name) for name in SIX]):
        yield orjson.dumps(await part) + b"\n"
