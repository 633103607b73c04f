"""FastAPI under the same server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from . import six
from .shared import FRAMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("application",)

NDJSON = "application/x-ndjson"

application = FastAPI()


@application.get("/frames/")
async def frames() -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for frame in FRAMES:
            yield frame

    return StreamingResponse(body(), media_type=NDJSON)


@application.get("/six/")
async def six_parts(kind: str) -> StreamingResponse:
    return StreamingResponse(six.lines(kind), media_type=NDJSON)


@application.get("/one/{name}/")
def one(name: str) -> dict[str, list[int]]:
    """A sync endpoint, which FastAPI runs in its thread pool."""
    return {name: six.slow_query()}


@application.get("/ready/")
async def ready() -> dict[str, int]:
    return {}
