"""Live views for the tests, each for one behaviour."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import (
    DjangoModelPermissions,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.throttling import ScopedRateThrottle

from django_partstream import ProgressiveView, lazy
from tests.app.models import Account

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
        for item in shown.get("items", []):
            yield item


class Accounts(ProgressiveView):
    """Rows, with the topics of their model."""

    def get_parts(self) -> Any:
        from django_partstream import topics_for

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


class ModelPermission(Guarded):
    permission_classes = [DjangoModelPermissions]
    queryset = Account.objects.all()


class Throttled(Guarded):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "live"


class InRequestThread(ProgressiveView):
    """A part in the thread of the request, each time."""

    def get_parts(self) -> Any:
        import threading

        def thread() -> Any:
            made["thread"] += 1
            return [made["thread"], threading.current_thread().name]

        return [("thread", lazy(thread, thread="request", topics=("thread",)))]
