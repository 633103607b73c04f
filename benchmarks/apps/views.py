"""What is measured of ours, and what others would write for the same."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from adrf.views import APIView as AsyncAPIView
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import JsonResponse, StreamingHttpResponse
from rest_framework.response import Response
from rest_framework.views import APIView

from django_partstream import ProgressiveView, encoding, lazy

from .shared import FRAMES, ITEMS, items, row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest

__all__ = (
    "AdrfFrames",
    "AdrfGather",
    "AdrfGatherThreads",
    "Changing",
    "Frames",
    "Idle",
    "Items",
    "Parts",
    "PlainFrames",
    "PlainOne",
    "PlainSerial",
    "PlainTables",
    "Six",
    "Tables",
    "django_frames",
    "django_idle",
    "encoder",
    "padded",
    "plain",
)

#: Seconds of each of the six parts.
SLOW = 0.2
SIX = tuple(f"part{number}" for number in range(6))


def slow_query() -> list[int]:
    """A statement that takes its time on the server."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [SLOW])

    return [1, 2, 3]


async def slow_call() -> list[int]:
    await asyncio.sleep(SLOW)

    return [1, 2, 3]


class Frames(ProgressiveView):
    """Three parts that take no time."""

    def get_parts(self) -> Any:
        return [
            ("meta", {"shop": "north"}),
            ("orders", lazy(self.orders)),
            ("stock", lazy(self.stock)),
        ]

    async def orders(self) -> Any:
        return [1, 2, 3]

    async def stock(self) -> Any:
        return {"apples": 4}


FRAMES_DATA: dict[str, Any] = {
    "meta": {"shop": "north"},
    "orders": [1, 2, 3],
    "stock": {"apples": 4},
}


class PlainFrames(APIView):
    """The same as one answer, by a sync view."""

    def get(self, request: Any) -> Response:
        return Response(FRAMES_DATA)


class AdrfFrames(AsyncAPIView):  # type: ignore[misc]
    """The same as one answer, by an async view."""

    async def get(self, request: Any) -> Response:
        return Response(FRAMES_DATA)


class Six(ProgressiveView):
    """`?kind=sync` or `async`."""

    def get_parts(self) -> Any:
        fn = slow_query if self.request.GET["kind"] == "sync" else slow_call

        return [(name, lazy(fn)) for name in SIX]


class PlainSerial(APIView):
    """One part after the other, as DRF's views do."""

    def get(self, request: Any) -> Response:
        return Response({name: slow_query() for name in SIX})


def slow_table() -> list[dict[str, Any]]:
    slow_query()

    return [row(number) for number in range(300)]


class Tables(ProgressiveView):
    """Six parts that are slow, and large enough to be on the way for a while."""

    def get_parts(self) -> Any:
        return [(name, lazy(slow_table)) for name in SIX]


class PlainTables(APIView):
    def get(self, request: Any) -> Response:
        return Response({name: slow_table() for name in SIX})


class PlainOne(APIView):
    """One part, for a client that asks for each by itself."""

    def get(self, request: Any, name: str) -> Response:
        return Response({name: slow_query()})


class AdrfGather(AsyncAPIView):  # type: ignore[misc]
    """asyncio.gather over the same parts; sync ones by `sync_to_async`."""

    async def get(self, request: Any) -> Response:
        sync = request.query_params["kind"] == "sync"
        fn = sync_to_async(slow_query) if sync else slow_call
        made = await asyncio.gather(*(fn() for _ in SIX))

        return Response(dict(zip(SIX, made, strict=True)))


class AdrfGatherThreads(AsyncAPIView):  # type: ignore[misc]
    """The same with `thread_sensitive=False`, which leaves connections behind."""

    async def get(self, request: Any) -> Response:
        fn = sync_to_async(slow_query, thread_sensitive=False)
        made = await asyncio.gather(*(fn() for _ in SIX))

        return Response(dict(zip(SIX, made, strict=True)))


class Items(ProgressiveView):
    """One streamed list."""

    stream_deadline = 600

    def get_parts(self) -> Any:
        kind = self.request.GET["kind"]

        if kind == "rows":
            return [("items", lazy(self.rows))]

        return [("items", lazy(self.ready))]

    def ready(self) -> Any:
        return items(ITEMS)

    def rows(self) -> Any:
        """A sync generator, which is iterated in a thread."""
        return (row(number) for number in range(ITEMS))


class Parts(ProgressiveView):
    """`?count=` trivial parts: `?kind=value`, `sync` or `async`."""

    def get_parts(self) -> Any:
        kind = self.request.GET["kind"]
        value: Any = {"value": 1, "sync": lazy(one), "async": lazy(async_one)}[kind]

        return [
            (f"p{number}", value) for number in range(int(self.request.GET["count"]))
        ]


def one() -> int:
    return 1


async def async_one() -> int:
    return 1


class Changing(ProgressiveView):
    """A live part that is another after each publish."""

    stream_deadline = 3600
    live_refresh = 3600
    published = 0

    def get_parts(self) -> Any:
        return [("now", lazy(self.now, topics=("bench",)))]

    async def now(self) -> Any:
        return {"published": Changing.published, "padding": "x" * 700}


class Idle(ProgressiveView):
    stream_deadline = 3600

    def get_parts(self) -> Any:
        return [("now", 1), ("never", lazy(self.never))]

    async def never(self) -> Any:
        await asyncio.Event().wait()


async def plain(request: HttpRequest) -> JsonResponse:
    """A Django view that streams nothing."""
    return JsonResponse({"meta": {"shop": "north"}})


async def padded(request: HttpRequest) -> JsonResponse:
    """As large as the part of `Changing`."""
    return JsonResponse({"published": 1, "padding": "x" * 700})


async def django_frames(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[bytes]:
        for frame in FRAMES:
            yield frame

    return StreamingHttpResponse(body(), content_type="application/x-ndjson")


async def django_idle(request: HttpRequest) -> StreamingHttpResponse:
    async def body() -> AsyncIterator[bytes]:
        yield FRAMES[0]
        await asyncio.Event().wait()

    return StreamingHttpResponse(body(), content_type="application/x-ndjson")


async def encoder(request: HttpRequest) -> JsonResponse:
    """The floor of streamed items: make them, encode them, send nothing."""
    began = time.perf_counter()
    batch: list[Any] = []
    size = 0

    async for item in items(ITEMS):
        batch.append(item)

        if len(batch) == 1000:
            size += len(encoding.encode(batch))
            batch.clear()

    size += len(encoding.encode(batch))

    return JsonResponse({"seconds": time.perf_counter() - began, "bytes": size})
