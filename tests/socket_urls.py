"""Addresses to subscribe to, and some that are none."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from adrf.views import APIView as AsyncAPIView
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from django_partstream import frames
from django_partstream.transports.streaming import FrameResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from django.http import HttpRequest

START = frames.Start(parts=("data",), cursor="c0")
END = frames.End(ok=1, failed=0, cursor=None, reason="complete")

#: What the views did, for the tests to see.
seen: dict[str, Any] = {}


async def one(data: Any) -> AsyncGenerator[frames.Frame]:
    yield START
    yield frames.Part(name="data", data=data, cursor=None, ms=0.0)
    yield END


async def endless() -> AsyncGenerator[frames.Frame]:
    try:
        yield START
        await asyncio.Event().wait()
    finally:
        seen["ended"] = True


async def echo(request: HttpRequest, **kwargs: Any) -> FrameResponse:
    """What came of the handshake."""
    user = await request.auser()
    data = {
        "method": request.method,
        "path": request.path,
        "path_info": request.path_info,
        "query": dict(request.GET.lists()),
        "headers": dict(request.headers),
        "cookies": request.COOKIES,
        "host": request.get_host(),
        "secure": request.is_secure(),
        "address": request.META["REMOTE_ADDR"],
        "user": user.get_username(),
        "kwargs": kwargs,
    }

    return FrameResponse(one(data))


def sync(request: HttpRequest) -> FrameResponse:
    seen["thread"] = threading.current_thread()

    return FrameResponse(one(threading.current_thread().name))


def slow(request: HttpRequest) -> FrameResponse:
    release = seen.setdefault("release", threading.Event())
    seen.setdefault("slow", threading.Event()).set()
    release.wait(60)

    return FrameResponse(one("slow"))


#: Of `fifth`, and of the four that wait for it and for each other.
together = threading.Barrier(5, timeout=60)


def fourfold(request: HttpRequest) -> FrameResponse:
    """A sync view that waits until four of it run, and `fifth`."""
    together.wait()

    return FrameResponse(one("fourfold"))


def fifth(request: HttpRequest) -> HttpResponse:
    together.wait()

    return HttpResponse()


async def stuck(request: HttpRequest) -> FrameResponse:
    seen["began"].set()

    try:
        await asyncio.Event().wait()
    finally:
        seen["cancelled"] = True

    return FrameResponse(one("never"))


async def ever(request: HttpRequest) -> FrameResponse:
    return FrameResponse(endless())


def database(request: HttpRequest) -> FrameResponse:
    """Uses the database in its own thread, and streams after that."""
    return FrameResponse(one(get_user_model().objects.count()))


class Closing(FrameResponse):
    def close(self) -> None:
        seen["closed in"] = threading.current_thread()
        super().close()


def closing(request: HttpRequest) -> Closing:
    seen["made in"] = threading.current_thread()

    return Closing(endless())


async def in_request_thread() -> AsyncGenerator[frames.Frame]:
    thread = await sync_to_async(threading.current_thread)()

    async for frame in one(thread.name):
        yield frame


def holding(request: HttpRequest) -> Closing:
    """Its frames are made in the thread of the request."""
    seen["made in"] = threading.current_thread()

    return Closing(in_request_thread(), holds_request_thread=True)


class Guarded(AsyncAPIView):  # type: ignore[misc]
    """A view of adrf's that has frames, with all that guards one."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def perform_content_negotiation(self, request: Any, force: bool = False) -> Any:
        return JSONRenderer(), "application/json"

    async def get(self, request: Any) -> FrameResponse:
        return FrameResponse(one(request.user.get_username()))


class Never(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False

    def wait(self) -> float:
        return 7.0


class Throttled(Guarded):
    permission_classes = []
    throttle_classes = [Never]


class Plain(APIView):
    """A view of DRF's that has no frames."""

    authentication_classes = []

    def get(self, request: Any) -> Response:
        return Response([1, 2, 3])


def problem(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "type": "https://example.com/gone",
            "title": "Expired",
            "status": 410,
            "detail": "The cursor has expired.",
            "code": "cursor_expired",
            "rows": [1],
        },
        status=410,
        content_type="application/problem+json",
    )


def detail(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"detail": "Busy.", "secret": 1}, status=503)


def odd(request: HttpRequest) -> HttpResponse:
    """Errors that look like JSON and are not what they seem."""
    body = {
        "list": b'["no", "object"]',
        "text": b'{"detail": ["no", "text"]}',
        "cut": b'{"detail": "no en',
        "large": b'{"detail": "%s"}' % (b"x" * 100_000),
    }[request.GET["kind"]]

    return HttpResponse(body, status=400, content_type="application/json")


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("the secret")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


async def chunks() -> AsyncGenerator[bytes]:
    yield b"no "
    yield b"frames"


async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    status = int(request.GET.get("status", 200))

    return StreamingHttpResponse(chunks(), status=status)


@login_required
def private(request: HttpRequest) -> FrameResponse:
    return FrameResponse(one(request.user.get_username()))


@csrf_exempt
def body(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"bytes": len(request.body)})


urlpatterns = [
    path("echo/", echo),
    path("echo/<str:word>/", echo),
    path("sync/", sync),
    path("slow/", slow),
    path("fourfold/", fourfold),
    path("fifth/", fifth),
    path("stuck/", stuck),
    path("ever/", ever),
    path("database/", database),
    path("closing/", closing),
    path("holding/", holding),
    path("guarded/", Guarded.as_view()),
    path("throttled/", Throttled.as_view()),
    path("plain-drf/", Plain.as_view()),
    path("problem/", problem),
    path("detail/", detail),
    path("odd/", odd),
    path("broken/", broken),
    path("forbidden/", forbidden),
    path("streaming/", streaming),
    path("private/", private),
    path("body/", body),
]
