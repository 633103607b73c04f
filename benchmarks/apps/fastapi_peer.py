"""FastAPI under the same server: six queries in its thread pool, as lines."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from psycopg_pool import ConnectionPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("application",)

SIX = tuple(f"part{number}" for number in range(6))
NAMES = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}

application = FastAPI()
_pool = ConnectionPool(
    kwargs={name: os.environ[key] for key, name in NAMES.items() if key in os.environ},
    min_size=6,
    max_size=6,
    open=True,
)


def slow_query() -> list[int]:
    with _pool.connection() as connection:
        connection.execute("SELECT pg_sleep(0.2)")

    return [1, 2, 3]


async def slow_call() -> list[int]:
    await asyncio.sleep(0.2)

    return [1, 2, 3]


@application.get("/six/")
async def six(kind: str) -> StreamingResponse:
    async def one(name: str) -> dict[str, Any]:
        made = run_in_threadpool(slow_query) if kind == "sync" else slow_call()

        return {"type": "part", "name": name, "data": await made}

    async def body() -> AsyncIterator[bytes]:
        yield orjson.dumps({"type": "start", "parts": SIX}) + b"\n"

        for part in asyncio.as_completed([one(name) for name in SIX]):
            yield orjson.dumps(await part) + b"\n"

    return StreamingResponse(body(), media_type="application/x-ndjson")


@application.get("/ready/")
async def ready() -> dict[str, int]:
    return {}
