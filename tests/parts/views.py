"""Progressive views for the tests, each for one behaviour."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.utils import timezone, translation
from rest_framework.permissions import IsAuthenticated

from django_partstream import ProgressiveView, lazy

CLOSED: list[str] = []


class Shop(ProgressiveView):
    """Parts that arrive in another order than they are declared in."""

    def get_parts(self) -> Any:
        parts: list[Any] = [
            ("meta", {"shop": "north"}),
            ("orders", lazy(self.get_orders)),
            ("stock", lazy(self.get_stock)),
        ]

        if self.request.GET.get("include_analytics"):
            parts.append(("analytics", lazy(lambda: {"visits": 3})))

        return parts

    async def get_orders(self, request: HttpRequest) -> Any:
        await asyncio.sleep(0.05)
        return [{"id": 1}, {"id": 2}]

    def get_stock(self, request: HttpRequest) -> Any:
        return {"apples": 4}


class Patient(Shop):
    """The same, with orders that wait until a test lets them go on."""

    may_end = asyncio.Event()

    async def get_orders(self, request: HttpRequest) -> Any:
        await self.may_end.wait()

        return await super().get_orders(request)


class Failing(ProgressiveView):
    def get_parts(self) -> Any:
        return [
            ("good", lazy(lambda: 1)),
            ("raises", lazy(self.raises)),
            ("unencodable", lazy(lambda: {"value": object()})),
            ("slow", lazy(self.slow, timeout=0.05)),
            ("own_timeout", lazy(self.own_timeout, timeout=30)),
        ]

    def raises(self) -> Any:
        raise RuntimeError("password=hunter2")

    async def slow(self) -> Any:
        await asyncio.sleep(30)

    async def own_timeout(self) -> Any:
        raise TimeoutError


class Six(ProgressiveView):
    """Six sync parts that wait for each other: they only end when all run at once."""

    chunk_size = 6

    def get_parts(self) -> Any:
        barrier = threading.Barrier(6, timeout=60)

        def meet() -> int:
            return barrier.wait()

        return [(f"part{number}", lazy(meet)) for number in range(6)]


class Users(ProgressiveView):
    """Parts that read the database, in every form."""

    chunk_size = 20

    def get_parts(self) -> Any:
        users = get_user_model().objects.order_by("username")

        return [
            ("values", users.values("username")),
            ("names", lazy(lambda: users.values_list("username", flat=True))),
            ("count", lazy(users.count)),
            ("async_count", lazy(self.async_count)),
            ("generated", lazy(self.generated)),
            ("instances", lazy(users.all)),
        ]

    async def async_count(self) -> int:
        return await get_user_model().objects.acount()

    async def generated(self) -> Any:
        async for user in get_user_model().objects.order_by("username"):
            yield user.username


class Private(ProgressiveView):
    permission_classes = [IsAuthenticated]

    def get_parts(self) -> Any:
        return [("me", self.request.user.get_username()), ("more", lazy(lambda: 1))]


class Shrinking(ProgressiveView):
    """Its list of parts is what the test says."""

    names: list[str] = ["a", "b", "c"]
    chunk_size = 1

    def get_parts(self) -> Any:
        return [(name, lazy(lambda name=name: name.upper())) for name in self.names]


class Endless(ProgressiveView):
    stream_deadline = 0.3

    def get_parts(self) -> Any:
        return [("quick", lazy(self.quick)), ("never", lazy(self.never))]

    async def quick(self) -> Any:
        # Without a thread, which may come late on a busy machine.
        return 1

    async def never(self) -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            CLOSED.append("never")


class Locale(ProgressiveView):
    def get_parts(self) -> Any:
        translation.activate("de")
        timezone.activate("Asia/Tokyo")

        return [("locale", lazy(self.locale))]

    def locale(self) -> Any:
        return [translation.get_language(), timezone.get_current_timezone_name()]


class NoList(ProgressiveView):
    def get_parts(self) -> Any:
        pass


class AsyncDeclared(ProgressiveView):
    async def get_parts(self) -> Any:
        return [("count", await get_user_model().objects.acount())]
