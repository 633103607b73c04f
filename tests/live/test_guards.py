"""Who may open a live stream, and until when: DRF's own classes, over both ways out."""

from __future__ import annotations

import contextlib
import gc
import io
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import cache
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.throttling import ScopedRateThrottle

from django_partstream import apublish
from django_partstream.jobs.submit import submit
from tests.app.models import Account
from tests.live import views
from tests.live.http_client import opened
from tests.live.test_streams import until
from tests.socket_client import connect

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("prompt"),
]

Header = tuple[bytes, bytes]


class OverHTTP:
    """A live stream, as NDJSON."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def hears_until(self, kind: str) -> list[Any]:
        heard: list[Any] = await self._stream.hears_until(kind)

        return heard

    async def hears_refusal(self) -> Any:
        """The problem with which it ends."""
        end = await self._stream.hears()
        assert (end["type"], end["reason"], end["cursor"]) == ("end", "refused", None)
        assert await self._stream.hears() is None

        return end["error"]


class OverSocket:
    """A live stream, as a subscription."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def hears_until(self, kind: str) -> list[Any]:
        heard: list[Any] = []

        while not heard or heard[-1]["type"] != kind:
            message = await self._client.hears()
            assert message["type"] == "next", message
            heard.append(message["payload"])

        return heard

    async def hears_refusal(self) -> Any:
        end = (await self._client.hears())["payload"]
        assert (end["type"], end["reason"], end["cursor"]) == ("end", "refused", None)
        error = await self._client.hears()
        assert (error["type"], error["id"]) == ("error", "1")
        problem = {k: v for k, v in error["payload"][0].items() if k != "message"}
        assert problem == end["error"]

        return problem


@pytest.fixture(params=["http", "socket"])
def follow(request: Any, application: Any) -> Any:
    """`follow(url, header)` opens a live stream, in each of the ways."""

    @contextlib.asynccontextmanager
    async def over_http(url: str, header: Header) -> AsyncIterator[OverHTTP]:
        async with opened(application, f"{url}?live=1", headers=[header]) as stream:
            yield OverHTTP(stream)

    @contextlib.asynccontextmanager
    async def over_socket(url: str, header: Header) -> AsyncIterator[OverSocket]:
        is_cookie = header[0] == b"cookie"
        headers = {} if is_cookie else {header[0].decode(): header[1].decode()}

        async with connect(
            application, headers=[header] if is_cookie else [], init=False
        ) as client:
            client.says({"type": "connection_init", "payload": {"headers": headers}})
            assert await client.hears() == {"type": "connection_ack"}
            client.says(
                {"id": "1", "type": "subscribe", "payload": {"url": url, "live": True}}
            )
            yield OverSocket(client)

    return {"http": over_http, "socket": over_socket}[request.param]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", is_staff=True)


@pytest.fixture
def cookie(ada: User) -> Header:
    client = Client()
    client.force_login(ada)
    name = django_settings.SESSION_COOKIE_NAME

    return b"cookie", f"{name}={client.cookies[name].value}".encode()


@pytest.fixture
def token(ada: User) -> Header:
    return b"authorization", f"Token {Token.objects.create(user=ada).key}".encode()


@pytest.fixture
def bearer(ada: User) -> Header:
    signed = signing.dumps("ada", salt="tests.live")

    return b"authorization", f"Bearer {signed}".encode()


def expire_sessions() -> None:
    Session.objects.update(expire_date="2020-01-01T00:00Z")


def end_sessions() -> None:
    Session.objects.all().delete()


def deactivate() -> None:
    User.objects.update(is_active=False)


def demote() -> None:
    User.objects.update(is_staff=False)


def delete_tokens() -> None:
    Token.objects.all().delete()


def age_tokens() -> None:
    views.shown["age"] = 0


def grant() -> None:
    User.objects.get().user_permissions.add(*view_account())


def revoke() -> None:
    User.objects.get().user_permissions.remove(*view_account())


def view_account() -> Any:
    return Permission.objects.filter(content_type__model="account")


def nothing() -> None:
    pass


NOT_SIGNED_IN = (403, "Authentication credentials were not provided.")
MAY_NOT = (403, "You do not have permission to perform this action.")


@pytest.mark.parametrize(
    ("url", "credential", "before", "change", "expected"),
    [
        ("/guarded/", "cookie", nothing, expire_sessions, NOT_SIGNED_IN),
        ("/guarded/", "cookie", nothing, end_sessions, NOT_SIGNED_IN),
        ("/guarded/", "cookie", nothing, deactivate, NOT_SIGNED_IN),
        ("/guarded/", "token", nothing, delete_tokens, (403, "Invalid token.")),
        ("/guarded/", "token", nothing, deactivate, (403, "User inactive or deleted.")),
        ("/bearer/", "bearer", nothing, age_tokens, (401, "The token is not valid.")),
        ("/staff/", "cookie", nothing, demote, MAY_NOT),
        ("/model-permission/", "token", grant, revoke, MAY_NOT),
    ],
)
async def test_live_stream_ends_before_anything_is_sent_that_is_no_longer_permitted(
    follow: Any,
    request: Any,
    url: str,
    credential: str,
    before: Any,
    change: Any,
    expected: tuple[int, str],
) -> None:
    header = await sync_to_async(request.getfixturevalue)(credential)
    await sync_to_async(before)()

    async with follow(url, header) as stream:
        await stream.hears_until("live")
        views.shown["orders"] = "good"
        await apublish("orders")
        heard = await stream.hears_until("part")
        await sync_to_async(change)()
        views.shown["orders"] = "secret"
        await apublish("orders")
        problem = await stream.hears_refusal()

    assert heard[-1]["data"] == "good"
    assert (problem["status"], problem["detail"]) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/bearer/", (401, "not_authenticated")),
        ("/guarded/", (403, "not_authenticated")),
        ("/staff/", (403, "permission_denied")),
        ("/model-permission/", (403, "permission_denied")),
        ("/owned/999/", (404, "not_found")),
    ],
)
async def test_refusal_before_the_first_frame_is_a_problem(
    application: Any, url: str, expected: tuple[int, str]
) -> None:
    user = await User.objects.acreate_user("ada")
    token = await Token.objects.acreate(user=user)
    headers = {"authorization": f"Token {token.key}"}

    async with connect(application, init=False) as client:
        client.says(
            {
                "type": "connection_init",
                "payload": {} if "not_auth" in expected[1] else {"headers": headers},
            },
            {"id": "1", "type": "subscribe", "payload": {"url": url, "live": True}},
        )
        await client.hears()
        error = await client.hears()

    assert (error["type"], error["id"]) == ("error", "1")
    problem = error["payload"][0]
    assert (problem["status"], problem["code"]) == expected


async def test_row_that_leaves_the_callers_world_ends_the_stream(
    follow: Any, ada: User, cookie: Header
) -> None:
    account = await Account.objects.acreate(name="savings", tenant="ada")

    async with follow(f"/owned/{account.pk}/", cookie) as stream:
        await stream.hears_until("live")
        await Account.objects.aupdate(tenant="bob", name="another's")
        await apublish("orders")
        problem = await stream.hears_refusal()

    assert (problem["status"], problem["code"]) == (404, "not_found")


async def test_stream_is_not_continued_for_somebody_else(
    follow: Any, ada: User, cookie: Header
) -> None:
    bob = await User.objects.acreate_user("bob")

    def sign_in_as_bob() -> None:
        store = SessionStore(Session.objects.get().session_key)
        store["_auth_user_id"] = str(bob.pk)
        store["_auth_user_hash"] = bob.get_session_auth_hash()
        store.save()

    async with follow("/guarded/", cookie) as stream:
        await stream.hears_until("live")
        await sync_to_async(sign_in_as_bob)()
        views.shown["orders"] = "bob's"
        await apublish("orders")
        problem = await stream.hears_refusal()

    assert problem["status"] == 401
    assert problem["detail"] == (
        "This stream was opened by somebody else than is signed in now."
    )


async def test_view_that_breaks_ends_the_stream_and_tells_nothing(
    follow: Any, cookie: Header, caplog: Any
) -> None:
    async with follow("/board/", cookie) as stream:
        await stream.hears_until("live")
        views.shown["hidden"] = 7  # which get_parts() takes for a list
        await apublish("orders")
        problem = await stream.hears_refusal()

    assert problem["status"] == 500
    assert "int" not in problem["detail"]
    assert "argument of type 'int' is not iterable" in caplog.text


async def test_checks_are_not_counted_by_throttles(
    follow: Any, token: Header, monkeypatch: Any
) -> None:
    cache.clear()
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"live": "2/hour"})

    async with follow("/throttled/", token) as first:
        await first.hears_until("live")

        for number in range(4):
            views.shown["orders"] = number + 1
            await apublish("orders")
            heard = await first.hears_until("part")
            assert heard[-1]["data"] == number + 1

        async with follow("/throttled/", token) as second:
            await second.hears_until("live")


async def test_subscription_too_soon_is_throttled(
    application: Any, token: Header, monkeypatch: Any
) -> None:
    cache.clear()
    monkeypatch.setattr(ScopedRateThrottle, "THROTTLE_RATES", {"live": "1/hour"})
    headers = {token[0].decode(): token[1].decode()}

    async with connect(application, init=False) as client:
        client.says({"type": "connection_init", "payload": {"headers": headers}})
        await client.hears()

        for identifier in ("1", "2"):
            client.says(
                {
                    "id": identifier,
                    "type": "subscribe",
                    "payload": {"url": "/throttled/"},
                }
            )

            while (message := await client.hears())["type"] == "next":
                assert message["id"] == "1"

    problem = message["payload"][0]
    assert (message["type"], message["id"]) == ("error", "2")
    assert (problem["status"], problem["code"]) == (429, "throttled")


async def test_job_of_somebody_else_is_not_found(
    application: Any, ada: User, token: Header
) -> None:
    bob = await User.objects.acreate_user("bob")
    job = await sync_to_async(submit)(
        kind="async_upsert", owner=bob, spec={}, total=0, stream=io.BytesIO()
    )
    headers = {token[0].decode(): token[1].decode()}
    url = f"/api/operations/{job.pk}/events/"

    async with connect(application, init=False) as client:
        client.says(
            {"type": "connection_init", "payload": {"headers": headers}},
            {"id": "1", "type": "subscribe", "payload": {"url": url}},
        )
        await client.hears()
        error = await client.hears()

    assert (error["type"], error["id"]) == ("error", "1")
    assert error["payload"][0]["status"] == 404
    assert error["payload"][0]["detail"] == "There is no job with this id."


def open_connections() -> int:
    """Of all threads."""
    return sum(
        issubclass(type(found), BaseDatabaseWrapper) and found.connection is not None
        for found in gc.get_objects()
    )


async def test_stream_that_waits_for_changes_holds_no_connection(
    follow: Any, cookie: Header
) -> None:
    # Of the test's own threads.
    before = open_connections()

    async with follow("/guarded/", cookie) as stream:
        await stream.hears_until("live")
        await until(lambda: open_connections() <= before)
        views.shown["orders"] = 1
        await apublish("orders")
        await stream.hears_until("part")
        await until(lambda: open_connections() <= before)


def request_threads() -> int:
    return sum(
        thread.name.startswith("ThreadPoolExecutor") for thread in threading.enumerate()
    )


async def test_stream_that_waits_for_changes_holds_no_thread(
    follow: Any, cookie: Header
) -> None:
    before = request_threads()

    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(follow("/guarded/", cookie))
            for _ in range(3)
        ]

        for stream in streams:
            await stream.hears_until("live")

        await until(lambda: request_threads() <= before)
        # Whoever needs one gets one.
        views.shown["orders"] = 1
        await apublish("orders")

        for stream in streams:
            await stream.hears_until("part")

        await until(lambda: request_threads() <= before)
