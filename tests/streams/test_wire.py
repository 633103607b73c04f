"""What leaves a real server, and when: uvicorn, and hypercorn and daphne once each.

Times are not measured. What a client waits for is made only when the client, having
read what came before, lets it be made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from django_partstream.transports.lent_threads import MOST_IDLE
from tests.forms import PATIENCE, count
from tests.streams import views
from tests.streams.servers import Reader, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"

#: All that might hold a stream back, or make something else of it.
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "tests.streams.middleware.sync_only",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(scope="module")
def uvicorn(django_db_setup: None) -> Iterator[Server]:
    with serving(MIDDLEWARE=MIDDLEWARE) as server:
        yield server


@pytest.fixture
def server(uvicorn: Server) -> Server:
    assert uvicorn.get("/restart/")[0] == 200

    return uvicorn


def see_frames_leave_as_they_are_made(server: Server, accept: str) -> None:
    with Reader(server, "/steps/", Accept=accept, Accept_Encoding="gzip") as reader:
        assert reader.status == 200
        assert reader.frame()["type"] == "start"
        assert reader.frame()["data"] == {"shop": "north"}

        for name in ("third", "first", "second"):
            assert f"{name} ends" not in server.state()["log"]
            server.release(name)
            frame = reader.frame()
            assert (frame["name"], frame["data"]) == (name, name.upper())

        assert [frame["type"] for frame in reader.rest()] == ["end"]


def see_work_end_with_its_client(server: Server) -> None:
    with Reader(server, "/steps/", Accept=NDJSON) as reader:
        reader.frame()
        server.until(lambda state: "third begins" in state["log"])
        reader.abort()

    state = server.until(lambda state: len(state["log"]) == 6)

    assert {line for line in state["log"] if "begins" not in line} == {
        f"{name} is cancelled" for name in views.STEPS
    }
    server.until(lambda state: state["slots"] == 0)


@pytest.mark.parametrize("accept", [NDJSON, EVENTS])
def test_frames_leave_as_they_are_made_whatever_middleware_there_is(
    server: Server, accept: str
) -> None:
    see_frames_leave_as_they_are_made(server, accept)


def test_work_ends_with_its_client(server: Server) -> None:
    see_work_end_with_its_client(server)


@pytest.mark.parametrize("kind", ["hypercorn", "daphne"])
def test_other_servers_do_the_same(kind: str) -> None:
    with serving(kind, MIDDLEWARE=MIDDLEWARE) as server:
        see_frames_leave_as_they_are_made(server, NDJSON)
        server.get("/restart/")
        see_frames_leave_as_they_are_made(server, EVENTS)
        server.get("/restart/")
        see_work_end_with_its_client(server)


def test_page_passes_the_same_middleware(server: Server) -> None:
    status, headers, body = server.get("/quick/", Accept_Encoding="gzip")

    assert status == 200
    assert b"FIRST" in body
    assert {word.strip() for word in headers["vary"].split(",")} >= {
        "Accept",
        "Cookie",
    }
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", [NDJSON, EVENTS])
def test_stream_says_how_it_wants_to_be_carried(server: Server, accept: str) -> None:
    with Reader(server, "/quick/", Accept=accept, Accept_Encoding="gzip") as reader:
        reader.rest()

    assert reader.headers["content-type"] == accept
    assert reader.headers["cache-control"] == "no-store, no-transform"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.headers["content-encoding"] == "identity"
    assert reader.headers["transfer-encoding"] == "chunked"
    assert reader.headers["x-sync"] == "1"
    assert "Accept" in reader.headers["vary"]
    assert not reader.headers.keys() & {"content-length", "etag", "last-modified"}


@pytest.mark.parametrize("accept", [NDJSON, EVENTS])
def test_silence_is_broken_by_pings(server: Server, accept: str) -> None:
    with Reader(server, "/impatient/", Accept=accept) as reader:
        frames = [reader.frame()]

        # On a busy machine one may come before the part.
        while [one["type"] for one in frames].count("ping") < 3 or len(frames) < 5:
            frames.append(reader.frame())

        server.release("first")

        while (frame := reader.frame())["type"] == "ping":
            pass

    others = [one["type"] for one in frames if one["type"] != "ping"]
    assert others == ["start", "part"]
    assert frame["name"] == "first"


def test_head_has_the_headers_of_get_and_no_work(server: Server) -> None:
    found = {}

    for method in ("GET", "HEAD"):
        for accept in (NDJSON, EVENTS, "application/json"):
            status, headers, body = server.ask(method, "/quick/", {"Accept": accept})
            headers.pop("date")
            headers.pop("transfer-encoding", None)
            found[method, accept] = (status, headers)
            assert bool(body) == (method == "GET")

    for accept in (NDJSON, EVENTS, "application/json"):
        assert found["HEAD", accept] == found["GET", accept]

    assert server.ask("HEAD", "/steps/", {"Accept": NDJSON})[0] == 200
    assert server.state()["log"] == []
    assert server.state()["slots"] == 0


@pytest.mark.django_db
def test_work_of_many_clients_ends_without_the_collector(server: Server) -> None:
    server.get("/without-collector/")
    see_work_end_with_its_client(server)
    server.get("/restart/")
    before = server.state()
    rounds = count(10, 100)

    for number in range(rounds):
        accept = EVENTS if number % 2 else NDJSON

        with Reader(server, "/steps/", Accept=accept) as reader:
            reader.frame()
            reader.abort()

    after = server.until(
        lambda state: (
            state["slots"] == 0
            and state["tasks"] <= before["tasks"]
            and state["threads"] <= before["threads"] + MOST_IDLE
        )
    )

    begun = [line for line in after["log"] if line.endswith("begins")]
    ended = [line for line in after["log"] if line.endswith("is cancelled")]
    assert len(begun) == len(ended)
    assert after["connections"] == before["connections"] == 0


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
def test_client_that_stops_reading_is_dropped_and_its_work_ended(
    kind: str,
) -> None:
    # daphne takes whatever it is given.
    with serving(kind, PARTSTREAM={"SEND_TIMEOUT_SECONDS": 0.5}) as server:
        before = server.state()

        with Reader(server, "/flood/", receive_buffer=4096, Accept=NDJSON) as reader:
            reader.frame()
            # From here on it reads nothing.
            stalled = server.until(lambda state: "flood ends" in state["log"])
            server.until(lambda state: (state["slots"], state["connections"]) == (0, 0))

            # It can tell that it was cut.
            with pytest.raises(EOFError):
                reader.rest()

        after = server.state()
        output = server.process.output()

    # The system's buffers take most of them.
    assert 0 < int(stalled["log"][1].removeprefix("made ")) < 1000
    assert after["rss"] < before["rss"] + 16 * 2**20
    assert "a client took nothing for 0.5 s and was dropped" in output


# Workers of their own hear of it from hypercorn only when their streams are gone.
@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn alone"])
def test_server_that_stops_says_goodbye_to_streams(kind: str) -> None:
    with serving(kind) as server:
        with (
            Reader(server, "/steps/", Accept=NDJSON) as lines,
            Reader(server, "/steps/", Accept=EVENTS) as events,
        ):
            starts = [reader.frame() for reader in (lines, events)]
            _ = [reader.frame() for reader in (lines, events)]
            server.process.request_stop()
            ends = [reader.rest() for reader in (lines, events)]

        server.process.wait_until(
            lambda: server.process.exit_code is not None, seconds=PATIENCE
        )
        output = server.process.output()

    for start, (end,) in zip(starts, ends, strict=True):
        assert (end["type"], end["reason"], end["ok"]) == ("end", "shutdown", 1)
        assert end["cursor"] not in (None, start["cursor"])

    assert "Traceback" not in output


def test_gunicorn_answers_whoever_asks_for_a_stream_with_pages(
    django_db_setup: None,
) -> None:
    with serving("gunicorn") as server:
        for accept in (NDJSON, EVENTS, "application/json"):
            status, headers, body = server.get("/quick/", Accept=accept)

            assert status == 200
            assert headers["content-type"] == "application/json"
            assert b'"current_chunk_size":3' in body

        assert server.get("/quick/?parts=none", Accept=EVENTS)[0] == 400
