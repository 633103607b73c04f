"""The framing of graphql-transport-ws, with producers of our own behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

import pytest

from django_partstream import frames, hub
from django_partstream.problems import Problem
from django_partstream.transports import shutdown
from django_partstream.transports.websocket import PartStreamConsumer, RefusedError
from tests.socket_client import connect

START = frames.Start(parts=("meta",), cursor="c0")
META = frames.Part(name="meta", data={"a": 1}, cursor=None, ms=1.5)
END = frames.End(ok=1, failed=0, cursor=None, reason="complete")

INIT = {"type": "connection_init"}
ACK = {"type": "connection_ack"}
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"url": "/plain/"}}


def subscribe(identifier="1", url="/plain/", **payload):
    return {
        "id": identifier,
        "type": "subscribe",
        "payload": {"url": url, **payload},
    }


def following(identifier, *sent):
    return [
        *({"id": identifier, "type": "next", "payload": f} for f in sent),
        {"id": identifier, "type": "complete"},
    ]


WIRE_START = {"type": "start", "v": 1, "parts": ["meta"], "cursor": "c0"}
WIRE_META = {
    "type": "part",
    "name": "meta",
    "data": {"a": 1},
    "cursor": None,
    "ms": 1.5,
}
WIRE_END = {"type": "end", "ok": 1, "failed": 0, "cursor": None, "reason": "complete"}


async def plain():
    yield START
    yield META
    yield END


class Site:
    """What can be subscribed to, by URL, and what became of it."""

    def __init__(self, **producers):
        self.producers = {f"/{name}/": producer for name, producer in producers.items()}
        self.opened = []
        self.closed = []
        self.is_closed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self, subscription):
        self.opened.append(subscription)

        try:
            producer = self.producers[subscription.url]()

            if asyncio.iscoroutine(producer):
                producer = await producer

            async with contextlib.aclosing(producer):
                yield producer
        finally:
            self.closed.append(subscription.url)
            self.is_closed.set()

    @property
    def application(self):
        return PartStreamConsumer.as_asgi(open=self.open)


@pytest.fixture
def configure(settings):
    def configure(**values):
        settings.PARTSTREAM = values

    return configure


async def ever():
    """A producer that has begun and has no end."""
    yield START
    await asyncio.Event().wait()


async def soon(state):
    async with asyncio.timeout(60):
        while not state():
            await asyncio.sleep(0.005)


async def turns():
    """Let everything happen that waits for nothing outside."""
    for _ in range(100):
        await asyncio.sleep(0)


NOT_YOURS = Problem(status=403, code="permission_denied", detail="Not yours.")
REFUSAL = {
    "id": "1",
    "type": "error",
    "payload": [
        {
            "message": "Not yours.",
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "detail": "Not yours.",
            "code": "permission_denied",
        }
    ],
}
COMPLETE = {"id": "1", "type": "complete"}
WIRE_REFUSED = {
    "type": "end",
    "ok": 0,
    "failed": 0,
    "cursor": None,
    "reason": "refused",
}


async def revoked():
    yield START
    yield frames.End(ok=0, failed=0, cursor=None, reason="refused", error=NOT_YOURS)


# What is said, what is heard: (code, reason) where the socket is closed.
CONVERSATIONS: dict[str, tuple[list[Any], list[Any]]] = {
    "init is acknowledged": ([INIT], [ACK]),
    "init may have a payload": ([{**INIT, "payload": {"token": 1}}], [ACK]),
    "init may have a null payload": ([{**INIT, "payload": None}], [ACK]),
    "init may have null headers": ([{**INIT, "payload": {"headers": None}}], [ACK]),
    "a subscription is followed to its end": (
        [INIT, SUBSCRIBE],
        [ACK, *following("1", WIRE_START, WIRE_META, WIRE_END)],
    ),
    "an id is free again after complete": (
        [INIT, SUBSCRIBE, None, None, None, None, None, SUBSCRIBE],
        [ACK, *following("1", WIRE_START, WIRE_META, WIRE_END) * 2],
    ),
    "query stands in for url": (
        [INIT, {**SUBSCRIBE, "payload": {"query": "/plain/", "variables": {}}}],
        [ACK, *following("1", WIRE_START, WIRE_META, WIRE_END)],
    ),
    "query is ignored beside url": (
        [INIT, {**SUBSCRIBE, "payload": {"url": "/plain/", "query": "/other/"}}],
        [ACK, *following("1", WIRE_START, WIRE_META, WIRE_END)],
    ),
    "unknown members are ignored": (
        [INIT, {**SUBSCRIBE, "extensions": {}, "foo": [1]}],
        [ACK, *following("1", WIRE_START, WIRE_META, WIRE_END)],
    ),
    "ping is answered, before init too": ([{"type": "ping"}], [{"type": "pong"}]),
    "ping is answered with its payload": (
        [{"type": "ping", "payload": {"at": [1, 2.5]}}],
        [{"type": "pong", "payload": {"at": [1, 2.5]}}],
    ),
    "pong is ignored": (
        [{"type": "pong"}, {"type": "pong", "payload": {}}, {"type": "ping"}],
        [{"type": "pong"}],
    ),
    "complete of an unknown id is ignored": (
        [{"id": "7", "type": "complete"}, INIT, {"id": "7", "type": "complete"}],
        [ACK],
    ),
    "a refusal ends the subscription": (
        [INIT, subscribe(url="/refused/")],
        [
            ACK,
            REFUSAL,
        ],
    ),
    "an id is free again after a refusal": (
        [INIT, subscribe(url="/refused/"), None, None, SUBSCRIBE],
        [ACK, REFUSAL, *following("1", WIRE_START, WIRE_META, WIRE_END)],
    ),
    "an id is free at once after its complete": (
        [INIT, subscribe(url="/ever/"), None, None, COMPLETE, SUBSCRIBE],
        [
            ACK,
            {"id": "1", "type": "next", "payload": WIRE_START},
            *following("1", WIRE_START, WIRE_META, WIRE_END),
        ],
    ),
    "a refusal after the first frame stands in for complete": (
        [INIT, subscribe(url="/revoked/")],
        [
            ACK,
            {"id": "1", "type": "next", "payload": WIRE_START},
            {
                "id": "1",
                "type": "next",
                "payload": {**WIRE_REFUSED, "error": NOT_YOURS.wire()},
            },
            REFUSAL,
        ],
    ),
    "a message that servers send": (
        [INIT, {"id": "1", "type": "next", "payload": {}}],
        [ACK, (4400, "A message must have a known type, not 'next'.")],
    ),
    "an id of the wrong kind": (
        [INIT, subscribe(1)],
        [ACK, (4400, "'id' must be a string of 1 to 256 characters.")],
    ),
    "a second init": (
        [INIT, INIT],
        [ACK, (4429, "connection_init came a second time.")],
    ),
    "subscribe before init": (
        [SUBSCRIBE],
        [(4401, "subscribe came before connection_init.")],
    ),
    "an id in use": (
        [INIT, subscribe(url="/ever/"), None, None, subscribe(url="/ever/")],
        [
            ACK,
            {"id": "1", "type": "next", "payload": WIRE_START},
            (4409, "The id '1' is in use."),
        ],
    ),
    "no JSON": (["{"], [(4400, "A message must be JSON.")]),
    "an empty message": ([""], [(4400, "A message must be JSON.")]),
    "half a surrogate pair": (
        ['{"type":"ping","payload":{"a":"\ud800"}}'],
        [(4400, "A message must be JSON.")],
    ),
    "JSON of absurd depth": (
        ['{"type":' + "[" * 2000 + "]" * 2000 + "}"],
        [(4400, "A message must be JSON.")],
    ),
    "a ping of absurd depth": (
        ['{"type":"ping","payload":{"a":' + "[" * 500 + "]" * 500 + "}}"],
        [(4400, "'payload' is nested too deeply.")],
    ),
    "no object": (["[1]"], [(4400, "A message must be a JSON object.")]),
    "no type": (
        [{"id": "1"}],
        [(4400, "A message must have a known type, not None.")],
    ),
    "an unknown type": (
        [{"type": "start"}],
        [(4400, "A message must have a known type, not 'start'.")],
    ),
    "a type of the wrong kind": (
        [{"type": ["x" * 100]}],
        [(4400, f"A message must have a known type, not ['{'x' * 38}….")],
    ),
    "no id": (
        [INIT, {"type": "subscribe", "payload": {"url": "/plain/"}}],
        [ACK, (4400, "'id' must be a string of 1 to 256 characters.")],
    ),
    "an empty id": (
        [INIT, subscribe("")],
        [ACK, (4400, "'id' must be a string of 1 to 256 characters.")],
    ),
    "an id that is too long": (
        [INIT, subscribe("x" * 257)],
        [ACK, (4400, "'id' must be a string of 1 to 256 characters.")],
    ),
    "complete without id": (
        [{"type": "complete"}],
        [(4400, "'id' must be a string of 1 to 256 characters.")],
    ),
    "no payload": (
        [INIT, {"id": "1", "type": "subscribe"}],
        [ACK, (4400, "'payload' must be an object.")],
    ),
    "a payload of the wrong kind": (
        [{"type": "ping", "payload": 1}],
        [(4400, "'payload' must be an object.")],
    ),
    "a pong with a payload of the wrong kind": (
        [{"type": "pong", "payload": "x"}],
        [(4400, "'payload' must be an object.")],
    ),
    "no url": (
        [INIT, {**SUBSCRIBE, "payload": {}}],
        [ACK, (4400, "'payload.url' must be a string.")],
    ),
    "a url of the wrong kind": (
        [INIT, subscribe(url=["/plain/"])],
        [ACK, (4400, "'payload.url' must be a string.")],
    ),
    "a cursor of the wrong kind": (
        [INIT, subscribe(cursor=1)],
        [ACK, (4400, "'payload.cursor' must be a string or null.")],
    ),
    "live of the wrong kind": (
        [INIT, subscribe(live="yes")],
        [ACK, (4400, "'payload.live' must be true or false.")],
    ),
    "headers of the wrong kind": (
        [{**INIT, "payload": {"headers": ["a"]}}],
        [(4400, "'payload.headers' must be an object.")],
    ),
    "a header of the wrong kind": (
        [{**INIT, "payload": {"headers": {"Authorization": 1}}}],
        [(4400, "The header 'authorization' must be one line of Latin-1 text.")],
    ),
    "a header of two lines": (
        [{**INIT, "payload": {"headers": {"Authorization": "a\r\nX-Admin: 1"}}}],
        [(4400, "The header 'authorization' must be one line of Latin-1 text.")],
    ),
    "a header beyond Latin-1": (
        [{**INIT, "payload": {"headers": {"accept-language": "日本"}}}],
        [(4400, "The header 'accept-language' must be one line of Latin-1 text.")],
    ),
    "a message that is too large": (
        [{"type": "ping", "payload": {"x": "ü" * 40_000}}],
        [(4400, "A message must not be larger than 65536 bytes.")],
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_conversation(name):
    said, heard = CONVERSATIONS[name]
    site = Site(plain=plain, ever=ever, refused=refused, revoked=revoked)

    async with connect(site.application, init=False) as client:
        expected = iter(heard)

        for message in said:
            # None: hear something first.
            if message is None:
                assert await client.hears() == next(expected)
            else:
                client.says(message)

        for message in expected:
            assert await client.hears() == message

        if client.closed is None:
            client.says({"type": "ping", "payload": {"last": True}})
            assert await client.hears() == {"type": "pong", "payload": {"last": True}}

        assert client.unheard == 0


async def refused():
    raise RefusedError(NOT_YOURS)


async def test_binary_message_closes_the_socket():
    async with connect(Site().application) as client:
        client.does({"type": "websocket.receive", "bytes": b'{"type":"ping"}'})

        assert await client.hears() == (4400, "A message must be text, not binary.")


async def test_message_of_the_largest_size_is_read():
    async with connect(Site().application) as client:
        bare = len('{"type":"pong","payload":{"x":""}}')
        padding = "x" * (64 * 1024 - bare)
        client.says(
            f'{{"type":"pong","payload":{{"x":"{padding}"}}}}', {"type": "ping"}
        )

        assert await client.hears() == {"type": "pong"}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["graphql-transport-ws"], "graphql-transport-ws"),
        (["partstream"], "partstream"),
        (["graphql-ws", "partstream", "graphql-transport-ws"], "partstream"),
        (["graphql-ws"], None),
        ([], None),
    ],
)
async def test_subprotocol_is_the_first_that_both_know(offered, chosen):
    async with connect(Site().application, subprotocols=offered) as client:
        assert client.accepted == {"type": "websocket.accept", "subprotocol": chosen}


async def test_silent_client_is_sent_away(configure):
    configure(INIT_TIMEOUT_SECONDS=0.05)

    async with connect(Site().application, init=False) as client:
        assert await client.hears() == (4408, "No connection_init came in time.")


async def test_client_that_only_pings_is_sent_away(configure):
    configure(INIT_TIMEOUT_SECONDS=0.05)

    async with connect(Site().application, init=False) as client:
        client.says({"type": "ping"})

        while (heard := await client.hears()) == {"type": "pong"}:
            client.says({"type": "ping"})

    assert heard == (4408, "No connection_init came in time.")


async def test_client_that_has_introduced_itself_may_be_silent(configure):
    configure(INIT_TIMEOUT_SECONDS=0.05)

    async with connect(Site().application) as client:
        await asyncio.sleep(0.1)
        client.says({"type": "ping"})

        assert await client.hears() == {"type": "pong"}


async def test_client_may_leave_before_it_is_accepted():
    async def receive():
        return {"type": "websocket.disconnect", "code": 1006}

    sent: list[Any] = []
    await Site().application({"subprotocols": []}, receive, sent.append)

    assert sent == []


async def test_subscription_is_opened_with_what_was_said(configure):
    configure(SOCKET_HEADERS=["X-Tenant"])
    site = Site(plain=plain)
    headers = {
        "authorization": "Token t",
        "ACCEPT-LANGUAGE": "fr",
        "x-tenant": "acme",
        "X-Forwarded-For": "10.0.0.1",
        "Cookie": "sessionid=stolen",
        "Host": ["never looked at"],
    }

    async with connect(site.application, init=False) as client:
        client.says({**INIT, "payload": {"headers": headers}})
        client.says(subscribe(cursor="c1", live=True))
        await client.hears_all(5)

    (opened,) = site.opened
    assert opened.headers == {
        "authorization": "Token t",
        "accept-language": "fr",
        "x-tenant": "acme",
    }
    assert (opened.url, opened.cursor, opened.live) == ("/plain/", "c1", True)
    assert opened.scope["path"] == "/ws/partstream/"


async def test_many_subscriptions_share_a_socket():
    site = Site(plain=plain)

    async with connect(site.application) as client:
        client.says(*(subscribe(str(number)) for number in range(20)))
        heard = await client.hears_all(20 * 4)

    for number in range(20):
        own = [message for message in heard if message["id"] == str(number)]
        assert own == following(str(number), WIRE_START, WIRE_META, WIRE_END)


async def test_subscription_too_many_is_refused_and_the_others_go_on(configure):
    configure(SUBSCRIPTIONS_PER_SOCKET=2)
    site = Site(ever=ever, plain=plain)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/ever/"), subscribe("2", "/ever/"), subscribe("3"))
        heard = await client.hears_all(3)
        (error,) = [message for message in heard if message["type"] == "error"]
        client.says({"id": "1", "type": "complete"})
        await site.is_closed.wait()
        client.says(subscribe("4"))
        await client.hears_all(4)

    assert error == {
        "id": "3",
        "type": "error",
        "payload": [
            {
                "message": "A socket carries at most 2 subscriptions at a time.",
                "type": "about:blank",
                "title": "Too Many Requests",
                "status": 429,
                "detail": "A socket carries at most 2 subscriptions at a time.",
                "code": "too_many_subscriptions",
            }
        ],
    }


async def test_cancelled_work_counts_until_it_has_ended(configure):
    configure(SUBSCRIPTIONS_PER_SOCKET=1)
    may_end = asyncio.Event()

    async def stubborn():
        try:
            yield START
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    site = Site(stubborn=stubborn, plain=plain)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/stubborn/"))
        await client.hears()
        client.says({"id": "1", "type": "complete"}, subscribe("1"))
        refusal = await client.hears()
        may_end.set()
        await site.is_closed.wait()
        client.says(subscribe("1"))

        assert refusal["payload"][0]["status"] == 429
        assert (await client.hears())["type"] == "next"


async def test_complete_stops_the_work_at_once():
    site = Site(ever=ever)

    async with connect(site.application) as client:
        client.says(subscribe(url="/ever/"))
        await client.hears()
        client.says({"id": "1", "type": "complete"})
        await asyncio.wait_for(site.is_closed.wait(), 60)
        client.says({"type": "ping"})

        assert await client.hears() == {"type": "pong"}


async def test_complete_stops_what_has_not_begun():
    began = asyncio.Event()

    async def endless():
        began.set()
        await asyncio.Event().wait()

    site = Site(endless=endless)

    async with connect(site.application) as client:
        client.says(subscribe(url="/endless/"))
        await began.wait()
        client.says({"id": "1", "type": "complete"})
        await asyncio.wait_for(site.is_closed.wait(), 60)


async def test_leaving_stops_all_work():
    site = Site(ever=ever)

    async with connect(site.application) as client:
        client.says(*(subscribe(str(number), "/ever/") for number in range(10)))
        await client.hears_all(10)

    assert site.closed == ["/ever/"] * 10


async def test_message_does_not_wait_for_the_work_of_others():
    began = asyncio.Event()

    async def slow():
        yield START
        began.set()
        await asyncio.Event().wait()

    site = Site(slow=slow, plain=plain)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/slow/"))
        await client.hears()
        await began.wait()
        client.says(subscribe("2"))

        assert await client.hears_all(4) == following(
            "2", WIRE_START, WIRE_META, WIRE_END
        )


async def test_producer_that_never_waits_leaves_the_others_their_turn():
    async def torrent():
        yield START

        while True:
            yield META

    site = Site(torrent=torrent)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/torrent/"))
        await client.hears()
        client.says({"type": "ping"})

        async with asyncio.timeout(60):
            while await client.hears() != {"type": "pong"}:
                pass


async def test_client_that_talks_without_pause_leaves_the_others_their_turn():
    application = Site().application

    async with connect(application) as loud, connect(application) as quiet:
        loud.says(*[{"type": "ping"}] * 5000)
        quiet.says({"type": "ping"})
        await quiet.hears()

        assert loud.unheard < 1000


async def test_pings_of_a_producer_stay_off_the_socket():
    async def pinging():
        yield START
        yield frames.Ping()
        yield END

    async with connect(Site(pinging=pinging).application) as client:
        client.says(subscribe(url="/pinging/"))

        assert await client.hears_all(3) == following("1", WIRE_START, WIRE_END)


async def test_quiet_socket_is_kept_open_by_pings(configure):
    configure(HEARTBEAT_SECONDS=0.02)

    async with connect(Site().application) as client:
        assert await client.hears() == {"type": "ping"}
        assert await client.hears() == {"type": "ping"}


@pytest.mark.parametrize(
    ("debug", "detail"),
    [(False, "The subscription failed."), (True, "ValueError: the secret")],
)
async def test_error_before_the_first_frame_is_a_problem(
    settings, caplog, debug, detail
):
    settings.DEBUG = debug

    async def broken():
        if site.opened:
            raise ValueError("the secret")

        yield START

    site = Site(broken=broken)

    async with connect(site.application) as client:
        client.says(subscribe(url="/broken/"))
        heard = await client.hears()
        client.says({"type": "ping"})

        assert await client.hears() == {"type": "pong"}

    assert heard == {
        "id": "1",
        "type": "error",
        "payload": [
            {
                "message": detail,
                "type": "about:blank",
                "title": "Internal Server Error",
                "status": 500,
                "detail": detail,
                "code": "error",
            }
        ],
    }
    (record,) = caplog.records
    assert record.getMessage() == "a subscription to '/broken/' failed"
    assert record.exc_info[0] is ValueError


async def test_error_after_the_first_frame_ends_the_subscription_aloud(caplog):
    async def broken():
        yield START
        raise ValueError("the secret")

    async with connect(Site(broken=broken).application) as client:
        client.says(subscribe(url="/broken/"))
        heard = await client.hears_all(2)

    assert heard[0]["type"] == "next"
    assert heard[1]["type"] == "error"
    assert "secret" not in json.dumps(heard)
    assert len(caplog.records) == 1


async def test_timeout_of_the_producer_is_an_error_like_any_other(caplog):
    async def late():
        yield START
        raise TimeoutError

    async with connect(Site(late=late).application) as client:
        client.says(subscribe(url="/late/"))
        heard = await client.hears_all(2)

    assert heard[1]["payload"][0]["status"] == 500
    assert len(caplog.records) == 1


async def test_client_that_does_not_read_is_dropped_with_its_work(configure):
    configure(SEND_TIMEOUT_SECONDS=0.05)
    site = Site(ever=ever)

    async with connect(site.application) as client:
        client.reads.clear()
        client.says(subscribe("1", "/ever/"), subscribe("2", "/ever/"))
        await soon(lambda: len(site.closed) == 2)
        client.reads.set()

        assert await client.hears() == (1013, "The socket takes no messages.")


async def test_client_that_does_not_read_costs_no_memory():
    produced = 0

    async def torrent():
        nonlocal produced
        yield START

        while True:
            produced += 1
            yield META

    async with connect(Site(torrent=torrent).application) as client:
        client.says(subscribe(url="/torrent/"))
        await client.hears()
        client.reads.clear()
        reached = produced + 1
        client.says({"type": "ping"})
        await turns()

        assert produced <= reached + 1
        client.reads.set()


@pytest.mark.parametrize(
    "error", [OSError("gone"), ConnectionResetError(), RuntimeError("after close")]
)
async def test_client_that_is_gone_is_noticed_by_sending(error):
    may_send = asyncio.Event()

    async def late():
        yield START
        await may_send.wait()
        yield META

    site = Site(late=late, ever=ever)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/late/"), subscribe("2", "/ever/"))
        await client.hears_all(2)
        client.error = error
        may_send.set()
        await soon(lambda: len(site.closed) == 2)


class Pushed:
    """A producer whose frames are pushed while its reader waits."""

    def __init__(self):
        self.mailbox = PushedMailbox()
        self._frames = self._run()
        #: Those that its reader was woken for.
        self.woken = 0

    def push_to(self, push):
        self.mailbox.push = push

    def publish(self, *numbers):
        for number in numbers:
            self.mailbox.put({"seq": number})

    async def _run(self):
        yield START

        while (snapshot := await self.mailbox.get(3600)) is not None:
            self.woken += 1
            yield frames.Progress(snapshot=snapshot)

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await anext(self._frames)

    async def aclose(self):
        self.mailbox.close()
        await self._frames.aclose()


class PushedMailbox(hub.Mailbox):
    push: Any = None

    def take(self, message):
        return self.push(frames.Progress(snapshot=message)) or True

    @property
    def is_waited_for(self):
        return self._waiter is not None


@contextlib.asynccontextmanager
async def pushing():
    """A client, and the producer that it has subscribed to and is waiting for."""
    made = Pushed()
    site = Site(pushed=lambda: made, plain=plain)

    async with connect(site.application) as client:
        client.says(subscribe(url="/pushed/"))
        await client.hears()
        await soon(lambda: made.mailbox.is_waited_for)
        yield client, made, site


def seq(heard):
    return heard["payload"]["seq"]


async def test_frames_are_pushed_without_waking_anybody():
    async with pushing() as (client, made, _):
        made.publish(1, 2, 3)

        assert client.unheard == 3
        assert [seq(heard) for heard in await client.hears_all(3)] == [1, 2, 3]
        assert made.woken == 0


async def test_pushed_frame_is_the_same_as_any_other():
    async with pushing() as (client, made, _):
        made.publish(1)

        assert await client.hears() == {
            "id": "1",
            "type": "next",
            "payload": {"type": "progress", "seq": 1},
        }


async def test_frame_that_is_pushed_to_many_has_the_id_of_each():
    async with pushing() as (client, made, site):
        other = Pushed()
        site.producers["/other/"] = lambda: other
        client.says(subscribe('"2"', "/other/"))
        await client.hears()
        await soon(lambda: other.mailbox.is_waited_for)

        for number in range(3):
            snapshot = {"seq": number}
            made.mailbox.put(snapshot)
            other.mailbox.put(snapshot)

        heard = await client.hears_all(6)

    assert [(message["id"], seq(message)) for message in heard] == [
        (identifier, number) for number in range(3) for identifier in ("1", '"2"')
    ]


async def test_peer_that_does_not_read_is_told_the_newest_when_it_does():
    async with pushing() as (client, made, _):
        client.reads.clear()
        made.publish(1, 2, 3)
        await turns()
        made.publish(4, 5)
        client.reads.set()

        # The first was half sent.
        assert [seq(heard) for heard in await client.hears_all(2)] == [1, 5]
        await soon(lambda: made.mailbox.is_waited_for)
        made.publish(6)
        assert seq(await client.hears()) == 6
        assert client.unheard == 0


async def test_peer_that_does_not_read_keeps_nobody_else_waiting():
    async with pushing() as (slow, to_slow, _), pushing() as (other, to_other, _):
        slow.reads.clear()

        for number in range(3):
            to_slow.publish(number)
            to_other.publish(number)

        assert other.unheard == 3
        slow.reads.set()


async def test_pushed_frame_waits_behind_a_message_before_it():
    async with pushing() as (client, made, _):
        client.reads.clear()
        client.says(subscribe("2"), {"type": "ping"})
        await turns()
        made.publish(1)
        client.reads.set()
        heard = await client.hears_all(6)

    about_others = [message for message in heard if message.get("id") == "2"]
    assert about_others == following("2", WIRE_START, WIRE_META, WIRE_END)
    assert [seq(message) for message in heard if message.get("id") == "1"] == [1]
    assert heard[0] in (about_others[0], {"type": "pong"})


async def test_peer_that_takes_nothing_of_what_is_pushed_is_dropped(configure):
    configure(SEND_TIMEOUT_SECONDS=0.05)

    async with pushing() as (client, made, site):
        client.reads.clear()
        made.publish(1)
        await soon(lambda: site.closed == ["/pushed/"])
        client.reads.set()

        assert await client.hears() == (1013, "The socket takes no messages.")


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after close")])
async def test_peer_that_is_gone_is_noticed_by_pushing(error):
    async with pushing() as (client, made, site):
        client.error = error
        made.publish(1)
        await soon(lambda: site.closed == ["/pushed/"])


async def test_nothing_is_pushed_after_a_cancel():
    async with pushing() as (client, made, site):
        client.says({"id": "1", "type": "complete"}, {"type": "ping"})
        assert await client.hears() == {"type": "pong"}
        made.publish(1)
        await soon(lambda: site.closed == ["/pushed/"])

        assert client.unheard == 0


async def test_cancel_while_a_frame_is_half_sent_leaves_the_socket_in_order():
    async with pushing() as (client, made, site):
        client.reads.clear()
        made.publish(1)
        client.says({"id": "1", "type": "complete"})
        await soon(lambda: site.closed == ["/pushed/"])
        client.says(subscribe("2"))
        client.reads.set()

        assert await client.hears_all(4) == following(
            "2", WIRE_START, WIRE_META, WIRE_END
        )


async def test_client_that_is_gone_at_once_is_noticed():
    async def send(message):
        raise OSError("gone")

    async def receive():
        return {"type": "websocket.connect"}

    await Site().application({"subprotocols": []}, receive, send)


async def test_server_that_gives_up_waiting_ends_all_work():
    site = Site(ever=ever)
    sent: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()

    for event in (INIT, subscribe(url="/ever/")):
        said.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})

    async def receive():
        return connected.pop() if connected else await said.get()

    connected = [{"type": "websocket.connect"}]
    server = asyncio.create_task(
        site.application({"subprotocols": []}, receive, sent.put)
    )
    [await sent.get() for _ in range(3)]
    server.cancel()

    with pytest.raises(asyncio.CancelledError):
        await server

    assert site.closed == ["/ever/"]


@pytest.fixture
async def restart():
    """Tells the streams that the process ends; gives what came of it."""
    told = shutdown.current()
    done = asyncio.Event()

    class Restart:
        seconds = None

        def begins(self):
            started = time.monotonic()

            def then():
                self.seconds = time.monotonic() - started
                done.set()

            told.request(then)

        async def is_over(self):
            await asyncio.wait_for(done.wait(), 60)
            return self.seconds

    return Restart()


async def test_restart_ends_streams_with_their_newest_cursor(restart):
    async def partly():
        yield frames.Start(parts=("a", "b", "c"), cursor="c0")
        yield frames.Part(name="a", data=1, cursor="c1", ms=1)
        yield frames.Error(
            name="b",
            error=Problem(status=500, code="failed", detail="x"),
            cursor="c2",
            ms=1,
        )
        await asyncio.Event().wait()

    site = Site(partly=partly, ever=ever)

    async with connect(site.application) as client:
        client.says(subscribe("1", "/partly/"), subscribe("2", "/ever/"))
        await client.hears_all(4)
        restart.begins()
        ends = {
            message["id"]: message["payload"] for message in await client.hears_all(2)
        }
        closed = await client.hears()

        assert await restart.is_over() < shutdown.GRACE_SECONDS

    assert ends == {
        "1": {
            "type": "end",
            "ok": 1,
            "failed": 1,
            "cursor": "c2",
            "reason": "shutdown",
        },
        "2": {
            "type": "end",
            "ok": 0,
            "failed": 0,
            "cursor": "c0",
            "reason": "shutdown",
        },
    }
    assert closed == (1012, "The server restarts.")
    assert len(site.closed) == 2


async def test_restart_does_not_wait_for_what_has_not_begun(restart):
    began = asyncio.Event()
    may_end = asyncio.Event()

    async def stubborn():
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await may_end.wait()

    async with connect(Site(stubborn=stubborn).application) as client:
        client.says(subscribe(url="/stubborn/"))
        await began.wait()
        restart.begins()

        assert await client.hears() == (1012, "The server restarts.")
        may_end.set()


async def test_restart_closes_idle_sockets_and_new_ones(restart):
    application = Site().application

    async with connect(application) as idle:
        restart.begins()

        assert await idle.hears() == (1012, "The server restarts.")

    async with connect(application, init=False) as late:
        assert await late.hears() == (1012, "The server restarts.")


async def test_restart_without_sockets_is_immediate(restart):
    restart.begins()

    assert await restart.is_over() < shutdown.GRACE_SECONDS


async def test_restart_waits_for_a_client_that_does_not_read_no_longer_than_it_may(
    restart, monkeypatch
):
    monkeypatch.setattr(shutdown, "GRACE_SECONDS", 0.05)

    async with connect(Site(ever=ever).application) as client:
        client.says(subscribe(url="/ever/"))
        await client.hears()
        client.reads.clear()
        restart.begins()

        assert await restart.is_over() < 5
        client.reads.set()
