"""Views that a test steers from outside, and asks what became of their work."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpResponse, JsonResponse
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.throttling import BaseThrottle

from django_partstream import ProgressiveView, frames, lazy
from django_partstream.responses import ProblemMixin
from django_partstream.stream_slots import slots
from django_partstream.streamable import StreamableView

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

#: Parts wait here until a test lets them go on.
gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
#: What happened, in order.
log: list[str] = []
#: Rounds of `Cut` that were cut.
cuts: list[str] = []

STEPS = ("first", "second", "third")


def reset() -> None:
    gates.clear()
    log.clear()
    cuts.clear()


async def wait_for(name: str) -> str:
    """The value of a part, when the gate of its name is open."""
    log.append(f"{name} begins")

    try:
        await gates[name].wait()
    except asyncio.CancelledError:
        log.append(f"{name} is cancelled")
        raise

    log.append(f"{name} ends")

    return name.upper()


class Steps(ProgressiveView):
    """Three parts behind a gate each, and one that is there."""

    chunk_size = 4

    def get_parts(self) -> Any:
        return [
            ("ready", {"shop": "north"}),
            *((name, lazy(self.part(name))) for name in STEPS),
        ]

    def part(self, name: str) -> Any:
        async def get() -> str:
            return await wait_for(name)

        return get


class Quick(ProgressiveView):
    """All its parts are there."""

    chunk_size = 3

    def get_parts(self) -> Any:
        return [(name, lazy(lambda name=name: name.upper())) for name in STEPS]


class Impatient(Steps):
    """Says that it is alive, a few times a second."""

    heartbeat = 0.05


class Cut(StreamableView):
    """A stream that its server cuts after the first part, once."""

    renderer_classes = ProgressiveView.renderer_classes

    async def get(self, request: Any) -> HttpResponseBase:
        if self.answers_done(request):
            cuts.append("done")
            return self.done_response()

        return self.stream_response(request, self.cut(self.last_event_id(request)))

    async def cut(self, cursor: str | None) -> AsyncGenerator[frames.Frame]:
        cuts.append(cursor or "anew")

        if cursor is None:
            yield frames.Start(parts=("a", "b"), cursor="owes-a-b")
            yield frames.Part(name="a", data=1, cursor="owes-b", ms=0.0)
            raise RuntimeError("password=hunter2")

        yield frames.Start(parts=("b",), cursor=cursor)
        yield frames.Part(name="b", data=2, cursor=None, ms=0.0)
        yield frames.End(ok=1, failed=0, cursor=None, reason="complete")


class Flood(StreamableView):
    """As many frames as the client likes, of 10,000 bytes each. The thread of the
    request has used the database."""

    renderer_classes = ProgressiveView.renderer_classes

    async def get(self, request: Any) -> HttpResponseBase:
        await get_user_model().objects.acount()

        return self.stream_response(request, self.flood())

    async def flood(self) -> AsyncGenerator[frames.Frame]:
        text = "x" * 10_000
        log.append("flood begins")

        try:
            yield frames.Start(parts=(), cursor=None)

            for number in range(1_000_000):
                log[1:] = [f"made {number}"]

                yield frames.Items(name="flood", seq=number, items=[text])
        finally:
            log.append("flood ends")


class Failing(ProgressiveView):
    """Fails in the way that `?how=` says, before the first byte."""

    def get_parts(self) -> Any:
        raise RuntimeError("password=hunter2")


class Writing(ProblemMixin):
    """A plain sync view, which fails when it has written."""

    def get(self, request: Any) -> HttpResponse:
        get_user_model().objects.create_user("ann")

        raise RuntimeError("password=hunter2")


class TypeErrors(Quick):
    """Its parts fail as a response fails that is no iterator."""

    def get_parts(self) -> Any:
        async def get() -> Any:
            raise TypeError("'async_generator' object is not iterable")

        return [("good", lazy(lambda: 1)), ("bad", lazy(get))]


class NeedsToken(Steps):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


class NeedsUser(Steps):
    permission_classes = [IsAuthenticated]


class Never(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        return False

    def wait(self) -> float:
        return 17


class Throttled(Steps):
    throttle_classes = [Never]


class Late(ProgressiveView):
    """Its parts would like to say something in the headers."""

    def get_parts(self) -> Any:
        return [("header", lazy(self.header)), ("cookie", lazy(self.cookie))]

    def header(self) -> None:
        self.response["X-Late"] = "1"

    def cookie(self) -> None:
        self.response.set_cookie("late", "1")


class Remembering(ProgressiveView):
    """Changes the session in time, and too late where `?late=1` says so."""

    def get_parts(self) -> Any:
        self.request.session["seen"] = "in time"

        return [("late", lazy(self.late))]

    def late(self, request: Any) -> bool:
        if request.GET.get("late"):
            request.session["seen"] = "too late"

        return True


class Two(Steps):
    """Two streams for each."""

    streams_per_user = 2


class Rows(ProgressiveView):
    """Its parts read the database, one of them in the thread of the request."""

    def get_parts(self) -> Any:
        return [
            ("users", lazy(get_user_model().objects.count)),
            ("again", lazy(get_user_model().objects.count, thread="request")),
            ("gate", lazy(lambda: wait_for("gate"))),
        ]


async def release(request: HttpRequest, name: str) -> HttpResponse:
    gates[name].set()

    return HttpResponse()


async def state(request: HttpRequest) -> JsonResponse:
    """What became of the work."""
    return JsonResponse(
        {
            "log": log,
            "cuts": cuts,
            "pid": os.getpid(),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "slots": slots.held("127.0.0.1"),
            "connections": len(open_connections()),
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
    )


def open_connections() -> list[str]:
    """To SQLite, of all threads: by their logs, since it keeps the files of the
    database open longer than connections."""
    name = f"{Path(settings.DATABASES['default']['NAME']).resolve()}-wal"
    files = Path("/proc/self/fd").iterdir()

    return [link for file in files if (link := _target(file)) == name]


def _target(file: Path) -> str:
    # What lists the folder is gone when its own entry is read.
    with contextlib.suppress(FileNotFoundError):
        return str(file.readlink())

    return ""


async def restart(request: HttpRequest) -> HttpResponse:
    """Forget what happened."""
    reset()

    return HttpResponse()


async def without_collector(request: HttpRequest) -> HttpResponse:
    gc.disable()

    return HttpResponse()


async def blank(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!doctype html><link rel=icon href=data:,><title>-</title>")
