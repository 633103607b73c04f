"""Lists of parts that tests make up, and the view that has them."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from django.urls import path
from rest_framework import serializers

from django_partstream import ProgressiveView, lazy
from tests.app.models import Account

__all__ = ("PLANS", "RUNS", "Made", "Planned", "plan_url")

#: By the `plan` of the query string.
PLANS: dict[str, Sequence[Made]] = {}
#: How often each part was made, by its name.
RUNS: Counter[str] = Counter()


@dataclasses.dataclass(frozen=True)
class Made:
    """A part: how its value is made, and what a client must get of it."""

    name: str
    value: Callable[[Made], Any]
    #: The data, or
    data: Any = None
    #: the code of its problem.
    error: str | None = None
    #: Seconds that it takes.
    delay: float = 0.0


class AccountSerializer(serializers.ModelSerializer[Account]):
    class Meta:
        model = Account
        fields = ["name", "tenant"]


class Planned(ProgressiveView):
    """Has the parts of the plan that its query names."""

    def get_parts(self) -> Any:
        return [
            (part.name, part.value(part))
            for part in PLANS.get(self.request.GET.get("plan", ""), ())
        ]


urlpatterns = [path("planned/", Planned.as_view())]


def plan_url(*parts: Made, plan: str = "a") -> str:
    """The address of a view with just these parts."""
    PLANS[plan] = parts

    return f"/planned/?plan={plan}"


def immediate(part: Made) -> Any:
    return part.data


def sync(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        time.sleep(part.delay)
        return part.data

    return lazy(make)


def coroutine(part: Made) -> Any:
    async def make() -> Any:
        RUNS[part.name] += 1
        await asyncio.sleep(part.delay)
        return part.data

    return lazy(make)


def in_request_thread(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        return part.data

    return lazy(make, thread="request")


def failing(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        raise RuntimeError("no")

    return lazy(make)


def unencodable(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        return [1, object()]

    return lazy(make)


def too_slow(part: Made) -> Any:
    async def make() -> Any:
        RUNS[part.name] += 1
        await asyncio.sleep(60)

    return lazy(make, timeout=0.01)


def generator(part: Made) -> Any:
    def make() -> Iterator[Any]:
        RUNS[part.name] += 1

        for number, item in enumerate(part.data):
            if number % 700 == 1:
                time.sleep(part.delay)

            yield item

    return lazy(make)


def async_generator(part: Made) -> Any:
    async def make() -> AsyncIterator[Any]:
        RUNS[part.name] += 1

        for number, item in enumerate(part.data):
            if number % 700 == 1:
                await asyncio.sleep(part.delay)

            yield item

    return lazy(make)


def immediate_generator(part: Made) -> Any:
    return iter(part.data)


def breaking_generator(part: Made) -> Any:
    def make() -> Iterator[Any]:
        RUNS[part.name] += 1
        yield from part.data
        raise RuntimeError("no")

    return lazy(make)


def endless_generator(part: Made) -> Any:
    async def make() -> AsyncIterator[Any]:
        RUNS[part.name] += 1

        while True:
            yield "again"
            await asyncio.sleep(0.002)

    return lazy(make, timeout=0.02)


def _accounts(part: Made) -> Any:
    # `data` are what the rows must come to.
    return Account.objects.order_by("pk")[: len(part.data)]


def rows(part: Made) -> Any:
    return _accounts(part).values("name", "tenant")


def lazy_rows(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        return _accounts(part).values("name", "tenant")

    return lazy(make)


def instances(part: Made) -> Any:
    def make() -> Any:
        RUNS[part.name] += 1
        return _accounts(part)

    return lazy(make, serializer=AccountSerializer)


def async_instances(part: Made) -> Any:
    async def make() -> AsyncIterator[Account]:
        RUNS[part.name] += 1

        async for account in _accounts(part):
            yield account

    return lazy(make, serializer=AccountSerializer)
