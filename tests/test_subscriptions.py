"""Subscriptions go through the whole of Django: what it sees, what it refuses."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import random
import string
import threading

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core import signals
from django.db import connections
from django.test import Client as DjangoClient

from django_partstream import frames
from django_partstream.routing import PartStreamConsumer
from django_partstream.subscriptions import open_subscription
from django_partstream.transports.websocket import RefusedError, Subscription
from tests import socket_urls
from tests.forms import count
from tests.socket_client import connect

HANDSHAKE = {
    "type": "websocket",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "scheme": "wss",
    "path": "/ws/partstream/",
    "query_string": b"token=of-the-handshake",
    "root_path": "",
    "headers": [
        (b"host", b"localhost:8000"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"abc"),
        (b"sec-websocket-protocol", b"partstream"),
        (b"accept", b"text/html"),
        (b"accept-encoding", b"gzip"),
        (b"accept-language", b"de"),
        (b"content-length", b"99999999999"),
        (b"if-none-match", b'"a"'),
        (b"cookie", b"a=1; b=2"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"user-agent", b"test"),
    ],
    "client": ("192.0.2.1", 50000),
    "server": ("127.0.0.1", 8000),
    "subprotocols": [],
}


@pytest.fixture(autouse=True)
def site(settings):
    settings.ROOT_URLCONF = "tests.socket_urls"
    socket_urls.seen.clear()
    yield
    # Whatever still waits must not hold up the end of the process.
    if (release := socket_urls.seen.get("release")) is not None:
        release.set()


def subscription(url, *, init=None, cursor=None, live=False, **handshake):
    return Subscription(
        scope={**HANDSHAKE, **handshake},
        headers=init or {},
        url=url,
        cursor=cursor,
        live=live,
    )


async def followed(*args, **kwargs):
    """The frames of a subscription."""
    async with open_subscription(subscription(*args, **kwargs)) as producer:
        return [frame async for frame in producer]


async def echoed(*args, **kwargs):
    """What the view saw."""
    _, part, _ = await followed(*args, **kwargs)
    return part.data


async def refused(*args, **kwargs):
    with pytest.raises(RefusedError) as refusal:
        await followed(*args, **kwargs)

    return refusal.value.problem


async def test_frames_of_the_view_are_yielded():
    assert await followed("/sync/") == [
        socket_urls.START,
        frames.Part(
            name="data",
            data=socket_urls.seen["thread"].name,
            cursor=None,
            ms=0.0,
        ),
        socket_urls.END,
    ]


async def test_request_is_made_of_the_handshake():
    seen = await echoed("/echo/?a=1&a=2&b=%20x")

    assert seen["method"] == "GET"
    assert seen["path"] == "/echo/"
    assert seen["query"] == {"a": ["1", "2"], "b": [" x"]}
    assert seen["host"] == "localhost:8000"
    assert seen["secure"] is True
    assert seen["address"] == "192.0.2.1"
    assert seen["cookies"] == {"a": "1", "b": "2"}
    assert seen["headers"] == {
        "Host": "localhost:8000",
        "Accept": "application/x-ndjson",
        "Accept-Language": "de",
        "Cookie": "a=1; b=2",
        "X-Forwarded-For": "10.0.0.1",
        "User-Agent": "test",
    }


async def test_headers_of_connection_init_stand_before_those_of_the_handshake():
    seen = await echoed(
        "/echo/", init={"accept-language": "fr", "authorization": "Token é"}
    )

    assert seen["headers"]["Accept-Language"] == "fr"
    assert seen["headers"]["Authorization"] == "Token é"


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("/echo/", {"cursor": ["c&d"], "live": ["1"]}),
        ("/echo/?", {"cursor": ["c&d"], "live": ["1"]}),
        ("/echo/?a=1", {"a": ["1"], "cursor": ["c&d"], "live": ["1"]}),
        ("/echo/?cursor=old", {"cursor": ["old", "c&d"], "live": ["1"]}),
        ("/echo/#part", {"cursor": ["c&d"], "live": ["1"]}),
    ],
)
async def test_cursor_and_live_are_added_to_the_query(url, query):
    seen = await echoed(url, cursor="c&d", live=True)

    assert seen["query"] == query


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("/echo/plain/", "plain"),
        ("/echo/%C3%BC%20b/", "ü b"),
        ("/echo/ü b/", "ü b"),
        ("/echo/a%2Bb+c/", "a+b+c"),
        ("/echo/100%/", "100%"),
    ],
)
async def test_path_is_read_as_a_browser_would_have_sent_it(url, word):
    seen = await echoed(url)

    assert seen["kwargs"] == {"word": word}


@pytest.mark.parametrize("url", ["/mounted/echo/", "/echo/"])
async def test_path_below_a_mount_point_may_name_it_or_not(url):
    seen = await echoed(url, root_path="/mounted", path="/mounted/ws/partstream/")

    assert seen["path_info"] == "/echo/"


async def test_socket_without_tls_is_a_request_without():
    seen = await echoed("/echo/", scheme="ws")

    assert seen["secure"] is False


@pytest.mark.parametrize(
    "url",
    [
        "",
        "echo/",
        "//example.com/echo/",
        "http://localhost:8000/echo/",
        "https:/echo/",
        "javascript:alert(1)",
        "/echo/\r\nX-Admin: 1",
        "/echo/\x00",
        "/echo/\udc80",
    ],
)
async def test_url_must_be_a_path_of_this_site(url):
    problem = await refused(url)

    assert (problem.status, problem.code) == (400, "bad_request")
    assert problem.detail == (
        "A url must be a path on this site, such as '/api/dashboard/'."
    )


async def test_url_must_not_be_too_long():
    await echoed("/echo/?" + "x" * (4096 - len("/echo/?")))
    problem = await refused("/echo/?" + "x" * 4096)

    assert (problem.status, problem.detail) == (
        400,
        "A url must not exceed 4096 bytes.",
    )


REDIRECTED = "This address redirects to '{}'; subscribe to that."
REFUSALS = {
    "/nowhere/": (404, "not_found", "The address answered 404 Not Found."),
    "/echo": (
        404,
        "not_streamable",
        REDIRECTED.format("/echo/"),
    ),
    "/private/": (
        404,
        "not_streamable",
        REDIRECTED.format("/accounts/login/?next=/private/"),
    ),
    "/streaming/": (
        404,
        "not_streamable",
        "There is nothing to subscribe to at this address.",
    ),
    "/streaming/?status=503": (
        503,
        "error",
        "The address answered 503 Service Unavailable.",
    ),
    "/plain-drf/": (
        404,
        "not_streamable",
        "There is nothing to subscribe to at this address.",
    ),
    "/guarded/": (
        401,
        "not_authenticated",
        "Authentication credentials were not provided.",
    ),
    "/throttled/": (
        429,
        "throttled",
        "Request was throttled. Expected available in 7 seconds.",
    ),
    "/forbidden/": (
        403,
        "permission_denied",
        "The address answered 403 Forbidden.",
    ),
    "/broken/": (
        500,
        "error",
        "The address answered 500 Internal Server Error.",
    ),
    "/detail/": (503, "error", "Busy."),
    "/odd/?kind=list": (400, "bad_request", "The address answered 400 Bad Request."),
    "/odd/?kind=text": (400, "bad_request", "The address answered 400 Bad Request."),
    "/odd/?kind=cut": (400, "bad_request", "The address answered 400 Bad Request."),
    "/odd/?kind=large": (400, "bad_request", "The address answered 400 Bad Request."),
}


@pytest.mark.parametrize("url", REFUSALS)
async def test_answer_without_frames_is_a_refusal(url):
    problem = await refused(url)

    assert (problem.status, problem.code, problem.detail) == REFUSALS[url]
    assert problem.extra == {}


async def test_problem_of_the_view_is_passed_on():
    problem = await refused("/problem/")

    assert (problem.status, problem.code) == (410, "cursor_expired")
    assert problem.detail == "The cursor has expired."
    assert problem.extra == {"rows": [1]}


async def test_exception_of_the_view_is_told_only_with_debug(settings):
    settings.DEBUG = True
    problem = await refused("/broken/")

    assert problem.detail == "ValueError at /broken/ the secret"


async def test_host_that_is_not_allowed_is_refused():
    problem = await refused("/echo/", init={"host": "evil.example"})

    assert problem.status == 400


@pytest.mark.django_db(transaction=True)
async def test_session_of_the_handshake_counts(django_user_model):
    user = await django_user_model.objects.acreate_user("ada", password="x")
    cookie = (b"cookie", await sync_to_async(session_cookie)(user))

    _, part, _ = await followed("/private/", headers=[(b"host", b"localhost"), cookie])

    assert part.data == "ada"


def session_cookie(user):
    client = DjangoClient()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME

    return f"{name}={client.cookies[name].value}".encode()


@pytest.mark.django_db(transaction=True)
async def test_token_of_connection_init_counts(django_user_model):
    from rest_framework.authtoken.models import Token

    user = await django_user_model.objects.acreate_user("ada", password="x")
    token = await Token.objects.acreate(user=user)
    good = await followed("/guarded/", init={"authorization": f"Token {token.key}"})
    bad = await refused("/guarded/", init={"authorization": "Token no"})

    assert good[1].data == "ada"
    assert (bad.status, bad.detail) == (401, "Invalid token.")


MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


async def test_middleware_of_django_leaves_the_frames_alone(settings):
    settings.MIDDLEWARE = MIDDLEWARE

    assert len(await followed("/sync/")) == 3


def replace(get_response):
    """A middleware of the old kind, that answers in the view's place."""

    def middleware(request):
        from django.http import HttpResponse

        get_response(request).close()

        return HttpResponse("Closed for the night.")

    return middleware


async def test_response_that_middleware_replaced_is_no_stream(settings):
    settings.MIDDLEWARE = [f"{__name__}.replace"]
    problem = await refused("/sync/")

    assert (problem.status, problem.code) == (404, "not_streamable")


async def test_request_begins_and_is_finished_once():
    sent = []

    def started(**kwargs):
        sent.append(("started", threading.current_thread()))

    def finished(**kwargs):
        sent.append(("finished", threading.current_thread()))

    signals.request_started.connect(started)
    signals.request_finished.connect(finished)

    try:
        await followed("/sync/")
    finally:
        signals.request_started.disconnect(started)
        signals.request_finished.disconnect(finished)

    assert [name for name, _ in sent] == ["started", "finished"]
    assert sent[0][1] is socket_urls.seen["thread"]
    assert threading.main_thread() not in dict(sent).values()


async def thread_of_another():
    """The thread that a subscription has which is made now, beside others."""
    task = asyncio.create_task(followed("/sync/"), context=contextvars.Context())
    await task

    return socket_urls.seen["thread"]


async def test_thread_of_the_request_is_free_when_its_response_is_there():
    async with open_subscription(subscription("/sync/")):
        first = socket_urls.seen["thread"]

        assert first is not threading.main_thread()
        assert await thread_of_another() is first


async def test_response_may_hold_the_thread_of_its_request():
    async with open_subscription(subscription("/holding/")) as producer:
        held = socket_urls.seen["made in"]
        assert await thread_of_another() is not held
        _, part, _ = [frame async for frame in producer]

    assert isinstance(part, frames.Part)
    assert part.data == held.name
    assert socket_urls.seen["closed in"] is held
    assert await thread_of_another() is held


async def test_response_is_closed_with_the_subscription():
    async with open_subscription(subscription("/closing/")) as producer:
        assert await anext(producer) == socket_urls.START

    assert socket_urls.seen["ended"] is True
    assert socket_urls.seen["closed in"] is not threading.main_thread()


async def test_response_is_closed_when_the_subscription_is_cancelled():
    inside = asyncio.Event()

    async def follow():
        async with open_subscription(subscription("/closing/")) as producer:
            inside.set()
            [frame async for frame in producer]

    task = asyncio.create_task(follow())
    await inside.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert socket_urls.seen["ended"] is True
    assert socket_urls.seen["closed in"] is not threading.main_thread()


async def test_request_is_finished_when_its_view_is_cancelled():
    finished = []

    def note(**kwargs):
        finished.append(threading.current_thread())

    socket_urls.seen["began"] = asyncio.Event()
    signals.request_finished.connect(note)

    try:
        task = asyncio.create_task(followed("/stuck/"))
        await socket_urls.seen["began"].wait()
        task.cancel()
        await asyncio.wait([task])
    finally:
        signals.request_finished.disconnect(note)

    assert task.cancelled()
    assert socket_urls.seen["cancelled"] is True
    assert len(finished) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("max_age", [0, 600, None])
async def test_no_connection_is_held_while_frames_flow_or_left_behind(
    monkeypatch, max_age
):
    opened, closed, ours = [], [], []
    kind = type(connections["default"])
    connect_, close = kind.connect, kind.close

    def connecting(self):
        connect_(self)
        ours.append(self)
        opened.append(threading.current_thread())

    def closing(self):
        # Not those that a test before has left to the threads of the process.
        if self.connection is not None and self in ours:
            closed.append(threading.current_thread())

        close(self)

    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", max_age)
    monkeypatch.setattr(kind, "connect", connecting)
    monkeypatch.setattr(kind, "close", closing)

    async with open_subscription(subscription("/database/")) as producer:
        assert len(opened) == 1
        assert closed == opened
        assert len([frame async for frame in producer]) == 3

    assert closed == opened


async def test_sync_view_holds_up_nothing_else_on_its_socket():
    application = PartStreamConsumer.as_asgi()

    async with connect(application) as client:
        client.says(wanted("1", "/slow/"))
        await began("slow")
        client.says({"type": "ping"}, wanted("2", "/sync/"))

        heard = await client.hears_all(5)
        socket_urls.seen["release"].set()
        rest = await client.hears_all(4)

    assert heard[0] == {"type": "pong"}
    assert {message["id"] for message in heard[1:]} == {"2"}
    assert {message["id"] for message in rest} == {"1"}


async def test_sync_view_holds_up_no_other_socket():
    application = PartStreamConsumer.as_asgi()

    async with connect(application) as one, connect(application) as other:
        one.says(wanted("1", "/slow/"))
        await began("slow")
        other.says(wanted("1", "/sync/"))

        heard = await other.hears_all(4)
        socket_urls.seen["release"].set()

    assert heard[-1] == {"id": "1", "type": "complete"}


def wanted(identifier, url):
    return {"id": identifier, "type": "subscribe", "payload": {"url": url}}


async def began(name):
    async with asyncio.timeout(60):
        while name not in socket_urls.seen:
            await asyncio.sleep(0.005)


async def test_cancelled_sync_view_frees_its_id_at_once():
    application = PartStreamConsumer.as_asgi()

    async with connect(application) as client:
        client.says(wanted("1", "/slow/"))
        await began("slow")
        client.says({"id": "1", "type": "complete"}, wanted("1", "/sync/"))

        heard = await client.hears_all(4)
        socket_urls.seen["release"].set()

    assert heard[-1] == {"id": "1", "type": "complete"}


GARBAGE_SEED = count(7, random.randrange(2**32))


async def test_garbage_never_raises_nor_logs_an_error(caplog):
    chance = random.Random(GARBAGE_SEED)
    application = PartStreamConsumer.as_asgi()
    said = 0
    codes = set()
    statuses = set()

    with caplog.at_level(logging.WARNING):
        while said < 2000:
            introduced = chance.random() < 0.8

            async with connect(application, init=introduced) as client:
                for _ in range(chance.randrange(1, 6)):
                    said += 1
                    client.does(garbage(chance))

                client.says("the end")
                heard = None

                while not isinstance(heard, tuple):
                    heard = await client.hears()

                    if isinstance(heard, dict) and heard["type"] == "error":
                        statuses.add(heard["payload"][0]["status"])

                codes.add(heard[0])

    assert codes <= {4400, 4401, 4409, 4429}, GARBAGE_SEED
    assert statuses <= {400, 404, 429}, GARBAGE_SEED
    assert [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info] == []


def garbage(chance):
    match chance.randrange(4):
        case 0:
            return {"type": "websocket.receive", "bytes": chance.randbytes(20)}
        case 1:
            text = "".join(chance.choices(string.printable + "ü日\ud800\x00", k=30))
        case 2:
            text = json.dumps(nonsense(chance, 3))
        case _:
            text = json.dumps(almost(chance))

    return {"type": "websocket.receive", "text": text}


def nonsense(chance, depth):
    leaves = [None, True, -1, 1e308, 10**30, "", "x" * 300, "/echo/", "1"]

    if depth == 0 or chance.random() < 0.3:
        return chance.choice(leaves)

    if chance.random() < 0.5:
        return [nonsense(chance, depth - 1) for _ in range(chance.randrange(3))]

    members = [
        "id",
        "type",
        "payload",
        "url",
        "query",
        "headers",
        "cursor",
        "live",
        "z",
    ]

    return {
        chance.choice(members): nonsense(chance, depth - 1)
        for _ in range(chance.randrange(5))
    }


def almost(chance):
    """A message that is right, but for what is not."""
    message = {
        "id": chance.choice(["1", "2", "", 7, None, nonsense(chance, 1)]),
        "type": chance.choice(
            ["subscribe"] * 5 + ["complete", "ping", "pong", "connection_init", "next"]
        ),
        "payload": {
            "url": chance.choice(["/echo/", "/ever/", 7, nonsense(chance, 1)]),
            "cursor": chance.choice([None, "c", nonsense(chance, 1)]),
            "headers": chance.choice([None, {}, nonsense(chance, 2)]),
        },
    }

    if chance.random() < 0.2:
        del message[chance.choice(list(message))]

    return message


async def test_refusal_is_told_on_the_socket():
    async with connect(PartStreamConsumer.as_asgi()) as client:
        client.says(wanted("1", "/nowhere/"))

        assert await client.hears() == {
            "id": "1",
            "type": "error",
            "payload": [
                {
                    "message": "The address answered 404 Not Found.",
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "The address answered 404 Not Found.",
                    "code": "not_found",
                }
            ],
        }
