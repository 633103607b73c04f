"""Starlette under the same server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from . import six
from .shared import FRAMES, ITEMS, items

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

__all__ = ("application",)

NDJSON = "application/x-ndjson"


async def frames(request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for frame in FRAMES:
            yield frame

    return StreamingResponse(body(), media_type=NDJSON)


async def idle(request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield FRAMES[0]
        await asyncio.Event().wait()

    return StreamingResponse(body(), media_type=NDJSON)


async def one_by_one(request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        async for item in items(ITEMS):
            yield orjson.dumps(item) + b"\n"

    return StreamingResponse(body(), media_type=NDJSON)


async def six_parts(request: Request) -> StreamingResponse:
    return StreamingResponse(six.lines(request.query_params["kind"]), media_type=NDJSON)


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({})


application = Starlette(
    routes=[
        Route("/frames/", frames),
        Route("/idle/", idle),
        Route("/items/", one_by_one),
        Route("/six/", six_parts),
        Route("/ready/", ready),
    ]
)
