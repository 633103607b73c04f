"""Live views for the tests, each for one behaviour."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core import signing
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import (
    DjangoModelPermissions,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.throttling import ScopedRateThrottle

from django_partstream import (
    ProgressiveView,
    cached_for,
    frames,
    lazy,
    publish,
    topics_for,
)
from django_partstream.transports.streaming import FrameResponse
from tests.app.models import Account

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from django.http import HttpRequest

#: What the parts show, for the tests to change.
shown: dict[str, Any] = {}
#: How often a part was made, and `get_parts` called.
made: Counter[str] = Counter()
#: Set by a part that waits, and what it waits for.
begun: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
release: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


def reset() -> None:
    for state in (shown, made, begun, release):
        state.clear()


class Board(ProgressiveView):
    """Two parts with topics of their own, one with both, and one with none."""

    def get_parts(self) -> Any:
        made["get_parts"] += 1
        parts: list[Any] = [
            ("meta", {"name": "board"}),
            ("static", lazy(lambda: self.make("static"))),
            ("orders", lazy(lambda: self.make("orders"), topics=("orders",))),
            ("stock", lazy(lambda: self.make("stock"), topics=("stock",))),
            ("both", lazy(lambda: self.make("both"), topics=("orders", "stock"))),
        ]

        return [pair for pair in parts if pair[0] not in shown.get("hidden", ())] + [
            (name, lazy(lambda name=name: self.make(name), topics=(topic,)))
            for name, topic in shown.get("more", {}).items()
        ]

    def make(self, name: str) -> Any:
        made[name] += 1
        value = shown.get(name, 0)

        if isinstance(value, Exception):
            raise value

        return value


class Slow(ProgressiveView):
    """A part that waits until it is released, each time."""

    def get_parts(self) -> Any:
        return [("slow", lazy(self.slow, topics=("slow",)))]

    async def slow(self) -> Any:
        made["slow"] += 1
        value = shown.get("slow", 0)
        begun["slow"].set()
        await release["slow"].wait()

        return value


class Listed(ProgressiveView):
    """A list that is sent as it is made."""

    def get_parts(self) -> Any:
        return [("items", lazy(self.items, topics=("items",)))]

    async def items(self) -> Any:
        made["items"] += 1
        for item in shown.get("items", []):
            yield item


class Accounts(ProgressiveView):
    """Rows, with the topics of their model."""

    def get_parts(self) -> Any:
        return [
            (
                "accounts",
                lazy(
                    lambda: list(Account.objects.order_by("pk").values("name")),
                    topics=topics_for(Account),
                ),
            )
        ]


class Guarded(Board):
    authentication_classes = [SessionAuthentication, TokenAuthentication]
    permission_classes = [IsAuthenticated]


class Staff(Guarded):
    permission_classes = [IsAdminUser]


class MayView(DjangoModelPermissions):
    """DRF's own asks for nothing of who only reads."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
    }


class ModelPermission(Guarded):
    permission_classes = [DjangoModelPermissions, MayView]
    queryset = Account.objects.all()


class Throttled(Guarded):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "live"


class InRequestThread(ProgressiveView):
    """A part in the thread of the request, each time."""

    def get_parts(self) -> Any:
        def thread() -> Any:
            made["thread"] += 1
            return [made["thread"], threading.current_thread().name]

        return [("thread", lazy(thread, thread="request", topics=("thread",)))]


class Totals(ProgressiveView):
    """A value that all share for an hour."""

    def get_parts(self) -> Any:
        return [("totals", lazy(self.totals, topics=("orders",)))]

    @cached_for(3600, vary="public")
    def totals(self) -> Any:
        made["totals"] += 1

        return shown.get("totals", 0)


class WithHeader(BaseAuthentication):
    """Somebody's own: a signed name in a header, as with JSON web tokens."""

    def authenticate(self, request: Any) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")

        if scheme != "Bearer":
            return None

        try:
            name = signing.loads(token, salt="tests.live", max_age=shown.get("age"))
        except signing.BadSignature as error:
            raise AuthenticationFailed("The token is not valid.") from error

        return get_user_model().objects.get(username=name), token

    def authenticate_header(self, request: Any) -> str:
        return "Bearer"


class Bearer(Board):
    authentication_classes = [WithHeader]
    permission_classes = [IsAuthenticated]


class Owned(ProgressiveView):
    """Of one account, as long as the caller may see it."""

    authentication_classes = [SessionAuthentication]

    def get_parts(self) -> Any:
        account = get_object_or_404(
            Account, pk=self.kwargs["pk"], tenant=self.request.user.get_username()
        )

        return [("name", lazy(lambda: account.name, topics=("orders",)))]


class Steps(ProgressiveView):
    """Six parts, which say in a file when they begin; the last three wait there."""

    def get_parts(self) -> Any:
        return [(f"step{n}", lazy(self.step(n))) for n in range(6)]

    def step(self, number: int) -> Any:
        async def run() -> int:
            with Path(os.environ["TEST_STEPS"]).open("a") as begun:
                begun.write(f"{number} {os.getpid()}\n")

            while number >= 3 and "TEST_STEPS_WAIT" in os.environ:
                await asyncio.sleep(3600)

            return number

        return run


#: Lets the parts of `Blocking` go on.
unblocked = threading.Event()


class Blocking(ProgressiveView):
    """A sync part that takes its time."""

    def get_parts(self) -> Any:
        return [("blocking", lazy(lambda: unblocked.wait(60)))]


async def unblock(_request: HttpRequest) -> HttpResponse:
    unblocked.set()

    return HttpResponse()


def show(_request: HttpRequest, name: str, value: str) -> HttpResponse:
    """What the parts of this process show from now on."""
    shown[name] = value

    return HttpResponse()


def publish_topic(_request: HttpRequest, topic: str) -> HttpResponse:
    publish(topic)

    return HttpResponse()


async def whoami(request: HttpRequest) -> FrameResponse:
    """What came of the handshake, and of `connection_init`."""

    async def frames_of() -> AsyncGenerator[frames.Frame]:
        data = {
            "authorization": request.headers.get("Authorization"),
            "query": dict(request.GET.items()),
        }
        yield frames.Start(parts=("data",), cursor="c0")
        yield frames.Part(name="data", data=data, cursor=None, ms=0.0)
        yield frames.End(ok=1, failed=0, cursor=None, reason="complete")

    return FrameResponse(frames_of())


async def flood(_request: HttpRequest) -> FrameResponse:
    """More than anybody reads."""

    async def frames_of() -> AsyncGenerator[frames.Frame]:
        try:
            yield frames.Start(parts=("flood",), cursor=None)

            while True:
                made["flood"] += 1
                items = ["x" * 100_000]
                yield frames.Items(name="flood", seq=made["flood"], items=items)
        finally:
            shown["flood"] = "ended"

    return FrameResponse(frames_of())


def state(_request: HttpRequest) -> JsonResponse:
    return JsonResponse({"made": made, "shown": shown})
