"""Parts inside a transaction of their caller: they see its rows, and spoil nothing."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, connections, transaction
from django.test import AsyncClient, Client
from django.urls import path
from django.utils import timezone, translation
from django.utils.decorators import async_only_middleware

from django_partstream import ProgressiveView, lazy, offload

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db,
    pytest.mark.urls("tests.offload.test_transactions"),
]


def names() -> list[str]:
    return list(Group.objects.order_by("name").values_list("name", flat=True))


def double() -> None:
    Group.objects.create(name="one")


def broken() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM no_such_table")


async def asynchronous() -> list[str]:
    return [group.name async for group in Group.objects.order_by("name")]


def generated() -> Iterator[str]:
    for group in Group.objects.order_by("name").iterator(chunk_size=1):
        yield group.name


class Groups(ProgressiveView):
    authentication_classes: list[Any] = []
    chunk_size = 100

    def get_parts(self) -> Any:
        return [
            ("double", lazy(double)),
            ("first", lazy(names)),
            ("broken", lazy(broken)),
            ("second", lazy(names)),
            ("asynchronous", lazy(asynchronous)),
            ("generated", lazy(generated)),
            ("queryset", lazy(lambda: Group.objects.order_by("name").values("name"))),
            ("in_request_thread", lazy(names, thread="request")),
        ]


class Seen(ProgressiveView):
    """What parts of every kind see of their caller's context."""

    authentication_classes: list[Any] = []
    chunk_size = 100

    def get_parts(self) -> Any:
        VARIABLE.set("set by get_parts")

        return [
            ("pool", lazy(seen)),
            ("request", lazy(seen, thread="request")),
            ("asynchronous", lazy(self.asynchronous)),
            ("generated", lazy(self.generated)),
        ]

    async def asynchronous(self) -> list[str | None]:
        return seen()

    def generated(self) -> Iterator[str | None]:
        yield from seen()


def seen() -> list[str | None]:
    return [
        VARIABLE.get(),
        translation.get_language(),
        timezone.get_current_timezone_name(),
    ]


@async_only_middleware
def abroad(get_response: Any) -> Any:
    """A middleware that sets what LocaleMiddleware and its like set."""

    async def middleware(request: Any) -> Any:
        with translation.override("fr"), timezone.override("Asia/Tokyo"):
            return await get_response(request)

    return middleware


urlpatterns = [path("groups/", Groups.as_view()), path("seen/", Seen.as_view())]

EXPECTED = {
    "double": None,
    "broken": None,
    "first": ["one", "two"],
    "second": ["one", "two"],
    "asynchronous": ["one", "two"],
    "generated": ["one", "two"],
    "queryset": [{"name": "one"}, {"name": "two"}],
    "in_request_thread": ["one", "two"],
}


def merged(page: Any) -> dict[str, Any]:
    """Every part; one that failed is None."""
    return {name: value for part in page["results"] for name, value in part.items()}


@pytest.fixture
def groups() -> None:
    Group.objects.bulk_create([Group(name="one"), Group(name="two")])


@pytest.mark.usefixtures("groups")
def test_parts_see_the_rows_of_the_transaction_and_none_spoils_it() -> None:
    page = Client().get("/groups/").json()

    assert merged(page) == EXPECTED
    assert [error["part"] for error in page["errors"]] == ["double", "broken"]
    # The transaction of the test itself goes on.
    assert connection.in_atomic_block
    assert names() == ["one", "two"]


@pytest.mark.usefixtures("groups")
def test_on_a_stream_too() -> None:
    async def read() -> list[Any]:
        response: Any = await AsyncClient().get(
            "/groups/", headers={"accept": "application/x-ndjson"}
        )
        lines = b"".join([part async for part in response]).splitlines()

        return [json.loads(line) for line in lines if line.strip()]

    frames = async_to_sync(read)()
    errors = {frame["name"] for frame in frames if frame["type"] == "error"}

    assert errors == {"double", "broken"}
    assert frames[-1]["type"] == "end"
    assert (frames[-1]["ok"], frames[-1]["failed"]) == (6, 2)
    assert names() == ["one", "two"]


def test_each_call_in_the_thread_of_the_request_has_a_savepoint() -> None:
    Group.objects.create(name="one")

    with pytest.raises(IntegrityError):
        async_to_sync(offload.run_in_request_thread)(double)

    assert connections["default"].in_atomic_block
    assert names() == ["one"]


def test_calls_at_once_in_a_transaction_take_turns() -> None:
    inside, most = 0, 0

    def call(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        Group.objects.create(name=str(number))
        inside -= 1

        return threading.get_ident()

    async def calls() -> list[int]:
        return await asyncio.gather(
            *(offload.run_in_request_thread(call, number) for number in range(10))
        )

    assert set(async_to_sync(calls)()) == {threading.get_ident()}
    assert most == 1
    assert Group.objects.count() == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("client", ["sync", "async"])
async def test_atomic_requests_break_no_view(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await offload.run_sync(
        Group.objects.bulk_create, [Group(name="one"), Group(name="two")]
    )
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)

    if client == "sync":
        response: Any = await sync_to_async(Client().get)("/groups/")
    else:
        response = await AsyncClient().get("/groups/")

    assert merged(response.json()) == EXPECTED
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
async def test_around_a_caller_the_parts_are_in_its_transaction() -> None:
    """A sync view in ATOMIC_REQUESTS, which calls the progressive one."""

    def caller() -> Any:
        with transaction.atomic():
            Group.objects.bulk_create([Group(name="one"), Group(name="two")])
            page = Client().get("/groups/").json()
            transaction.set_rollback(True)

            return page

    page = await sync_to_async(caller)()

    assert merged(page) == EXPECTED
    assert await offload.run_sync(Group.objects.count) == 0
    await sync_to_async(connections.close_all)()


@pytest.mark.parametrize("client", ["in a transaction", "sync", "async"])
@pytest.mark.django_db(transaction=True)
def test_context_language_and_time_zone_hold_in_parts(
    client: str, settings: Any
) -> None:
    settings.MIDDLEWARE = ["tests.offload.test_transactions.abroad"]

    if client == "async":
        page = async_to_sync(AsyncClient().get)("/seen/").json()
    elif client == "sync":
        page = Client().get("/seen/").json()
    else:
        with transaction.atomic():
            page = Client().get("/seen/").json()

    for name, value in merged(page).items():
        assert value == ["set by get_parts", "fr", "Asia/Tokyo"], name

    # Nothing of it remains. (asgiref itself hands variables back to a sync caller.)
    assert seen()[1:] == ["en-us", "America/Chicago"]
