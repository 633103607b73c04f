"""The whole application: lifespan, origins, uploads; in process and under uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import websockets
from websockets.frames import Close

from asgi_example import ports
from asgi_example.processes import Process, Site
from django_partstream import asgi
from django_partstream.transports import shutdown
from tests.forms import PATIENCE
from tests.socket_client import connect

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def site(settings):
    settings.ROOT_URLCONF = "tests.socket_urls"


class Background:
    """What lives as long as the application, or fails to."""

    def __init__(self, *, fails=None):
        self.events = []
        self.fails = fails

    @contextlib.asynccontextmanager
    async def __call__(self):
        if self.fails == "startup":
            raise ValueError("no room")

        self.events.append("begins")
        yield
        self.events.append("ends")

        if self.fails == "shutdown":
            raise ValueError("no way out")


class Lifespan:
    """The server's side of the lifespan protocol."""

    def __init__(self, application):
        self._to_application: asyncio.Queue[Any] = asyncio.Queue()
        self._from_application: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.create_task(
            application(
                {"type": "lifespan", "asgi": {"version": "3.0"}},
                self._to_application.get,
                self._from_application.put,
            )
        )

    async def ask(self, what):
        self._to_application.put_nowait({"type": f"lifespan.{what}"})

        async with asyncio.timeout(PATIENCE):
            return await self._from_application.get()


@pytest.fixture
def signals():
    """The handlers of a server, as it finds them again."""
    heard = []
    before = {number: signal.getsignal(number) for number in shutdown.SIGNALS}

    def handler(number, frame):
        heard.append(number)

    for number in before:
        signal.signal(number, handler)

    heard.append(handler)
    yield heard

    for number, old in before.items():
        signal.signal(number, old)


async def test_lifespan_runs_what_lives_with_the_process():
    background = Background()
    lifespan = Lifespan(asgi.get_application(background=background))

    assert await lifespan.ask("startup") == {"type": "lifespan.startup.complete"}
    assert background.events == ["begins"]
    assert await lifespan.ask("shutdown") == {"type": "lifespan.shutdown.complete"}
    assert background.events == ["begins", "ends"]
    await lifespan.task


@pytest.mark.parametrize(
    ("fails", "message"),
    [("startup", "ValueError: no room"), ("shutdown", "ValueError: no way out")],
)
async def test_failure_of_the_background_is_reported_to_the_server(
    caplog, fails, message
):
    lifespan = Lifespan(asgi.get_application(background=Background(fails=fails)))
    answer = await lifespan.ask("startup")

    if fails == "shutdown":
        assert answer == {"type": "lifespan.startup.complete"}
        answer = await lifespan.ask("shutdown")

    assert answer == {"type": f"lifespan.{fails}.failed", "message": message}
    assert f"the application failed at {fails}" in caplog.messages
    await lifespan.task


async def test_wrong_settings_stop_the_start(settings, caplog):
    settings.PARTSTREAM = {"THREDS": 4}
    lifespan = Lifespan(asgi.get_application(background=Background()))

    assert await lifespan.ask("startup") == {
        "type": "lifespan.startup.failed",
        "message": (
            "ImproperlyConfigured: PARTSTREAM has no key 'THREDS'. "
            "Did you mean 'THREADS'?"
        ),
    }


async def test_handlers_of_the_server_are_back_after_the_lifespan(signals):
    (handler,) = signals
    lifespan = Lifespan(asgi.get_application(background=Background()))
    await lifespan.ask("startup")

    assert signal.getsignal(signal.SIGTERM) is not handler

    await lifespan.ask("shutdown")

    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.getsignal(signal.SIGINT) is handler


async def test_server_hears_the_signal_after_sockets_said_goodbye(signals):
    application = asgi.get_application(background=Background())
    lifespan = Lifespan(application)
    await lifespan.ask("startup")

    async with connect(application) as client:
        client.says(wanted("1", "/ever/"))
        await client.hears()
        signal.raise_signal(signal.SIGTERM)

        assert signals[1:] == []
        assert await client.hears() == {
            "id": "1",
            "type": "next",
            "payload": {
                "type": "end",
                "ok": 0,
                "failed": 0,
                "cursor": "c0",
                "reason": "shutdown",
            },
        }
        assert await client.hears() == (1012, "The server restarts.")

        async with asyncio.timeout(PATIENCE):
            while signals[1:] != [signal.SIGTERM]:
                await asyncio.sleep(0.005)

    await lifespan.ask("shutdown")


async def test_second_signal_goes_straight_to_the_server(signals):
    application = asgi.get_application(background=Background())
    lifespan = Lifespan(application)
    await lifespan.ask("startup")

    async with connect(application) as client:
        client.says(wanted("1", "/ever/"))
        await client.hears()
        client.reads.clear()
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGINT)

        assert signals[1:] == [signal.SIGINT]
        client.reads.set()

    await lifespan.ask("shutdown")


def test_lifespan_outside_the_main_thread_leaves_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    during = []

    async def serve():
        lifespan = Lifespan(asgi.get_application(background=Background()))
        await lifespan.ask("startup")
        during.append(signal.getsignal(signal.SIGTERM))
        await lifespan.ask("shutdown")

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    thread.join()

    assert during == [before]


UNCHAINED = """
import asyncio, signal
from django_partstream.transports import shutdown

async def main():
    with shutdown.chained_signals(shutdown.current()):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_signal_that_nobody_else_handles_ends_the_process():
    done = subprocess.run([sys.executable, "-c", UNCHAINED], check=False, timeout=50)

    assert done.returncode == -signal.SIGTERM


def wanted(identifier, url):
    return {"id": identifier, "type": "subscribe", "payload": {"url": url}}


ORIGINS = [
    # Of no browser.
    (None, ["example.com"], False, True),
    ("http://example.com", ["example.com"], False, True),
    ("https://EXAMPLE.com:8443", ["example.com"], False, True),
    ("http://example.com", [".example.com"], False, True),
    ("http://a.example.com", [".example.com"], False, True),
    ("http://[::1]:8000", ["[::1]"], False, True),
    ("http://evil.example", ["*"], False, True),
    ("null", ["*"], False, True),
    ("http://localhost:3000", [], True, True),
    ("http://app.localhost:3000", [], True, True),
    ("http://evil.example", [], True, False),
    ("http://localhost:3000", [], False, False),
    ("http://evil.example", ["example.com"], False, False),
    ("http://example.com.evil.example", [".example.com"], False, False),
    ("http://evilexample.com", [".example.com"], False, False),
    ("http://example.com@evil.example", ["example.com"], False, False),
    ("null", ["example.com"], False, False),
    ("", ["example.com"], False, False),
    ("example.com", ["example.com"], False, False),
    ("http://[", ["example.com"], False, False),
    ("http://example.com:x", ["example.com"], False, False),
    ("file://", ["example.com"], False, False),
]


@pytest.mark.parametrize(("origin", "allowed", "debug", "welcome"), ORIGINS)
async def test_origin(settings, origin, allowed, debug, welcome):
    settings.ALLOWED_HOSTS, settings.DEBUG = allowed, debug
    headers = [] if origin is None else [(b"origin", origin.encode())]

    if not welcome:
        assert await first_words(headers=headers) == [
            {"type": "websocket.accept", "subprotocol": "graphql-transport-ws"},
            {
                "type": "websocket.close",
                "code": 4403,
                "reason": "This origin is refused.",
            },
        ]
        return

    async with connect(asgi.get_application(), headers=headers) as client:
        client.says({"type": "ping"})

        assert await client.hears() == {"type": "pong"}


async def test_one_welcome_origin_does_not_hide_another(settings):
    settings.ALLOWED_HOSTS = ["example.com"]
    headers = [(b"origin", b"http://example.com"), (b"origin", b"http://evil.example")]

    assert (await first_words(headers=headers))[-1]["code"] == 4403


async def test_there_is_no_socket_elsewhere():
    assert await first_words(path="/ws/elsewhere/") == [{"type": "websocket.close"}]


async def test_socket_is_found_below_a_mount_point():
    application = asgi.get_application()

    async with connect(
        application, path="/mounted/ws/partstream/", root_path="/mounted"
    ) as client:
        client.says({"type": "ping"})

        assert await client.hears() == {"type": "pong"}


async def first_words(*, path="/ws/partstream/", headers=()):
    """What the application says to a handshake that it does not like."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": path,
        "headers": list(headers),
        "subprotocols": ["graphql-transport-ws"],
    }
    await asgi.get_application()(scope, receive, send)

    return sent


async def request(*events, headers=(), path="/body/", method="POST"):
    """What the application answers, and how many of the events it wanted."""
    sent, waiting = [], list(events)

    async def receive():
        if not waiting:
            await asyncio.Event().wait()

        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *headers],
    }
    await asgi.get_application()(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])

    return sent[0], body, len(events) - len(waiting)


def chunks(count, size):
    return [
        {
            "type": "http.request",
            "body": b"x" * size,
            "more_body": number < count - 1,
        }
        for number in range(count)
    ]


TOO_LARGE = {
    "type": "about:blank",
    "title": "Request Entity Too Large",
    "status": 413,
    "detail": "The upload is larger than the 1000 bytes allowed.",
    "code": "too_large",
}


async def test_upload_of_the_largest_size_is_passed_on(settings):
    settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 1000}
    start, body, _ = await request(
        *chunks(10, 100), headers=[(b"content-length", b"1000")]
    )

    assert start["status"] == 200
    assert json.loads(body) == {"bytes": 1000}


async def test_upload_that_says_that_it_is_too_large_is_not_read(settings):
    settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 1000}
    start, body, read = await request(
        *chunks(11, 100), headers=[(b"content-length", b"1001")]
    )

    assert start["status"] == 413
    assert dict(start["headers"]) == {
        b"content-type": b"application/problem+json",
        b"content-length": str(len(body)).encode(),
    }
    assert json.loads(body) == TOO_LARGE
    assert read == 0


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"12")]])
async def test_upload_that_turns_out_too_large_is_not_read_to_its_end(
    settings, headers
):
    settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 1000}
    start, body, read = await request(*chunks(100, 100), headers=headers)

    assert start["status"] == 413
    assert json.loads(body) == TOO_LARGE
    assert read == 11


async def test_client_that_leaves_during_its_upload_is_not_answered(settings):
    sent: list[Any] = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/body/",
        "query_string": b"",
        "headers": [],
    }
    await asgi.get_application()(scope, receive, send)

    assert sent == []


async def test_unknown_protocol_is_refused():
    never: Any = None

    with pytest.raises(ValueError, match="'mqtt'"):
        await asgi.get_application()({"type": "mqtt"}, never, never)


class Server(NamedTuple):
    port: int
    process: Process

    @property
    def output(self):
        return self.process.output()


@pytest.fixture
def server():
    """The application under uvicorn, in a process of its own."""
    port = ports.free_port()

    with Site() as site:
        process = site.start(
            "uvicorn",
            [
                *(sys.executable, "-m", "uvicorn", "tests.socket_server:application"),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=ROOT,
        )
        process.wait_until_logged("Uvicorn running", seconds=60)

        yield Server(port, process)


@contextlib.asynccontextmanager
async def socket(server, **kwargs):
    """A real client, that has introduced itself."""
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/ws/partstream/",
        subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        open_timeout=PATIENCE,
        ping_timeout=None,
        **kwargs,
    ) as client:
        await say(client, {"type": "connection_init"})
        assert await hear(client) == {"type": "connection_ack"}

        yield client


async def say(client, message):
    await client.send(json.dumps(message))


async def hear(client):
    async with asyncio.timeout(PATIENCE):
        return json.loads(await client.recv())


async def test_real_client_follows_a_stream(server):
    async with socket(server) as client:
        await say(client, wanted("1", "/echo/?a=1"))
        heard = [await hear(client) for _ in range(4)]

    assert client.subprotocol == "graphql-transport-ws"
    assert [message["type"] for message in heard] == ["next"] * 3 + ["complete"]
    assert heard[1]["payload"]["data"]["host"] == f"127.0.0.1:{server.port}"
    assert heard[1]["payload"]["data"]["query"] == {"a": ["1"]}


async def test_real_ping_does_not_wait_for_a_sync_view(server):
    fifth = f"http://127.0.0.1:{server.port}/fifth/"

    async with socket(server) as busy, socket(server) as other:
        for number in range(4):
            await say(busy, wanted(str(number), "/fourfold/"))

        await say(busy, {"type": "ping"})
        await say(other, {"type": "ping"})

        # None of the four ends without the fifth.
        assert await hear(busy) == {"type": "pong"}
        assert await hear(other) == {"type": "pong"}

        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            assert (await client.get(fifth)).status_code == 200

        # Nor any without the others: one after the other they would all fail.
        heard = [await hear(busy) for _ in range(16)]
        assert {message["type"] for message in heard} == {"next", "complete"}


async def test_real_unwelcome_origin_is_told_so(server):
    with pytest.raises(websockets.ConnectionClosedError) as closed:
        async with socket(server, origin="http://evil.example"):
            pass

    assert closed.value.rcvd == Close(4403, "This origin is refused.")


async def test_real_garbage_does_not_reach_the_log(server):
    for message in ("{", "[]", b"\x00", json.dumps({"type": "?"}), "x" * 70_000):
        async with socket(server) as client:
            await client.send(message)

            with pytest.raises(websockets.ConnectionClosedError):
                await hear(client)

        assert client.close_code == 4400

    assert "Traceback" not in server.output
    assert "ERROR" not in server.output


@pytest.mark.parametrize("chunked", [False, True])
async def test_real_upload_that_is_too_large_is_answered(server, chunked):
    async def body():
        for _ in range(40):
            yield b"x" * 100_000

    url = f"http://127.0.0.1:{server.port}"

    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        answer = await client.post(
            "/body/", content=body() if chunked else b"x" * 4_000_000
        )
        after = await client.post("/body/", content=b"x" * 10)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"
    assert after.json() == {"bytes": 10}


async def test_real_restart_says_goodbye(server):
    async with socket(server) as client, socket(server) as idle:
        await say(client, wanted("1", "/ever/"))
        await hear(client)
        server.process.request_stop()
        end = await hear(client)

        for one in (client, idle):
            with pytest.raises(websockets.ConnectionClosedError):
                await hear(one)

            assert one.close_code == 1012
            assert one.close_reason == "The server restarts."

    await asyncio.to_thread(
        server.process.wait_until,
        lambda: server.process.exit_code is not None,
        seconds=PATIENCE,
    )

    assert end["payload"] == {
        "type": "end",
        "ok": 0,
        "failed": 0,
        "cursor": "c0",
        "reason": "shutdown",
    }
    assert "background ends" in server.output
    assert "Application shutdown complete" in server.output
    assert "Traceback" not in server.output


async def test_real_restart_ends_a_stream_over_http(server):
    url = f"http://127.0.0.1:{server.port}/ever/"

    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        client.stream("GET", url) as answer,
    ):
        lines = answer.aiter_lines()
        start = json.loads(await anext(lines))
        server.process.request_stop()
        rest = [json.loads(line) async for line in lines]

    await asyncio.to_thread(
        server.process.wait_until,
        lambda: server.process.exit_code is not None,
        seconds=PATIENCE,
    )

    assert start["type"] == "start"
    assert [(frame["type"], frame["reason"]) for frame in rest] == [("end", "shutdown")]
    assert rest[0]["cursor"] == "c0"


async def test_real_restart_ends_an_idle_server(server):
    server.process.request_stop()
    await asyncio.to_thread(
        server.process.wait_until,
        lambda: server.process.exit_code is not None,
        seconds=PATIENCE,
    )

    # As uvicorn ends since it hands signals on.
    assert server.process.exit_code in (0, -signal.SIGTERM)
