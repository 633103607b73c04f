"""How many streams one client may have, and what else a view may bound."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncClient, AsyncRequestFactory

from django_partstream import asgi, lazy
from django_partstream.errors import TooManyStreamsError
from django_partstream.models import Job
from django_partstream.stream_slots import Slots, slots
from tests.socket_client import connect
from tests.streams import views

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

NDJSON = {"Accept": "application/x-ndjson"}
HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    # Responses that a test before has dropped.
    forget()
    yield
    forget()


def forget() -> None:
    """Wait until every dropped response is gone, also from the thread of its
    request."""
    deadline = time.monotonic() + 60

    while slots.held(HERE):
        gc.collect()
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def begun(client: AsyncClient, url: str, **headers: str) -> Any:
    """A stream that has begun, as the iterator of its response."""
    response: Any = await client.get(url, headers={**NDJSON, **headers})
    assert response.status_code == 200, response.content
    stream = aiter(response)
    await anext(stream)

    return stream


def problem(response: Any) -> tuple[int, str, str]:
    body = response.json()

    return response.status_code, body["code"], body["detail"]


TOO_MANY = (
    429,
    "too_many_streams",
    (
        "2 streams are open already, which is all that one client may have. Close one "
        "first."
    ),
)


async def test_stream_too_many_is_refused_until_one_has_ended(
    async_client: AsyncClient,
) -> None:
    first = await begun(async_client, "/two/")
    second = await begun(async_client, "/two/")

    refused = await async_client.get("/two/", headers=NDJSON)

    assert problem(refused) == TOO_MANY
    assert refused["Retry-After"] == "5"
    assert refused["Content-Type"] == "application/problem+json"
    await first.aclose()
    third = await begun(async_client, "/two/")
    await second.aclose()
    await third.aclose()


@pytest.mark.django_db(transaction=True)
async def test_limit_of_the_settings_counts_streams_of_all_views(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.PARTSTREAM = {"STREAMS_PER_USER": 2}
    job = await Job.objects.acreate(kind="x", state="PENDING")
    one = await begun(async_client, "/steps/")
    two = await begun(async_client, f"/api/operations/{job.pk}/events/")

    for url in ("/steps/", "/quick/", f"/api/operations/{job.pk}/events/"):
        refused = await async_client.get(url, headers={"Accept": "text/event-stream"})
        assert problem(refused) == TOO_MANY

    await one.aclose()
    await two.aclose()


async def test_socket_counts_like_every_stream(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.PARTSTREAM = {"STREAMS_PER_USER": 2}

    async with connect(asgi.get_application()) as socket:
        for number in range(3):
            socket.says(
                {
                    "id": str(number),
                    "type": "subscribe",
                    "payload": {"url": "/steps/?parts=first"},
                }
            )

        heard = await socket.hears_all(3)
        errors = [one for one in heard if one["type"] == "error"]

        assert [one["payload"][0]["code"] for one in errors] == ["too_many_streams"]
        assert errors[0]["payload"][0]["status"] == 429
        over_http = await async_client.get("/steps/", headers=NDJSON)
        assert problem(over_http) == TOO_MANY

        gone = next(one["id"] for one in heard if one["type"] == "next")
        socket.says({"id": gone, "type": "complete"})

        async with asyncio.timeout(60):
            while slots.held(HERE) == 2:
                await asyncio.sleep(0.001)

    assert slots.held(HERE) == 0


@pytest.mark.django_db(transaction=True)
async def test_users_are_counted_apart_from_each_other_and_from_addresses() -> None:
    clients = [AsyncClient() for _ in range(3)]
    users = [await get_user_model().objects.acreate(username=name) for name in "ab"]
    streams = []

    for client, user in zip(clients, users, strict=False):
        await client.aforce_login(user)

    for client in clients:
        streams += [await begun(client, "/two/"), await begun(client, "/two/")]
        assert problem(await client.get("/two/", headers=NDJSON)) == TOO_MANY

    for stream in streams:
        await stream.aclose()

    assert [slots.held((user.pk,)) for user in users] == [0, 0]


async def test_anonymous_clients_behind_a_proxy_are_counted_by_their_address(
    async_client: AsyncClient,
) -> None:
    theirs = [
        await begun(async_client, "/two/", **{"X-Forwarded-For": "192.0.2.7"})
        for _ in range(2)
    ]
    ours = await begun(async_client, "/two/", **{"X-Forwarded-For": "192.0.2.8"})

    assert slots.held("192.0.2.7") == 2
    assert slots.held("192.0.2.8") == 1

    for stream in (*theirs, ours):
        await stream.aclose()

    assert slots.held("192.0.2.7") == slots.held("192.0.2.8") == 0


async def test_stream_that_was_read_to_its_end_is_not_counted(
    async_client: AsyncClient,
) -> None:
    response: Any = await async_client.get("/quick/", headers=NDJSON)
    assert slots.held(HERE) == 1

    _ = [block async for block in response]

    assert slots.held(HERE) == 0


async def test_stream_that_nobody_reads_is_not_counted_when_it_is_closed(
    async_rf: AsyncRequestFactory,
) -> None:
    response = await views.Quick.as_view()(async_rf.get("/", headers=NDJSON))
    assert slots.held(HERE) == 1

    await asyncio.to_thread(response.close)

    assert slots.held(HERE) == 0


async def test_stream_that_everybody_forgets_is_not_counted(
    async_rf: AsyncRequestFactory,
) -> None:
    response = await views.Quick.as_view()(async_rf.get("/", headers=NDJSON))
    assert slots.held(HERE) == 1

    del response

    forget()


@pytest.mark.parametrize(
    ("method", "url", "accept"),
    [
        ("head", "/quick/", "application/x-ndjson"),
        ("options", "/quick/", "application/x-ndjson"),
        ("post", "/quick/", "application/x-ndjson"),
        ("get", "/quick/", "application/json"),
        ("get", "/quick/?parts=fourth", "application/x-ndjson"),
        ("get", "/needs-user/", "application/x-ndjson"),
    ],
)
async def test_what_is_no_stream_is_not_counted(
    async_client: AsyncClient, method: str, url: str, accept: str
) -> None:
    response = await getattr(async_client, method)(url, headers={"Accept": accept})

    assert slots.held(HERE) == 0
    assert response.status_code in (200, 400, 403, 405)


def test_slots_are_exact_under_threads() -> None:
    counted = Slots()
    refused: list[bool] = []
    begin = threading.Barrier(8)

    def work() -> None:
        begin.wait()

        for _ in range(500):
            try:
                slot = counted.take("ann", 4)
            except TooManyStreamsError:
                refused.append(True)
                continue

            assert counted.held("ann") <= 4
            slot.give_back()
            slot.give_back()

    threads = [threading.Thread(target=work) for _ in range(8)]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert counted.held("ann") == 0
    held = [counted.take("ann", 4) for _ in range(4)]

    with pytest.raises(TooManyStreamsError):
        counted.take("ann", 4)

    assert len(held) == 4


class Busy(views.Quick):
    """Knows how many of its parts run at once."""

    running = most = 0

    def get_parts(self) -> Any:
        return [(f"part{number}", lazy(self.run)) for number in range(6)]

    async def run(self) -> None:
        cls = type(self)
        cls.running += 1
        cls.most = max(cls.most, cls.running)

        for _ in range(5):
            await asyncio.sleep(0)

        cls.running -= 1


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
async def test_parts_that_run_at_once_are_bounded(
    async_rf: AsyncRequestFactory, settings: Any, accept: str
) -> None:
    class Slow(Busy):
        chunk_size = 6

    class Bounded(Slow):
        max_running_parts = 2

    request = async_rf.get("/", headers={"Accept": accept})

    for view, settled, most in (
        (Slow, {}, 6),
        (Slow, {"MAX_RUNNING_PARTS": 3}, 3),
        (Bounded, {"MAX_RUNNING_PARTS": 3}, 2),
    ):
        settings.PARTSTREAM = settled
        view.most = 0
        response = await view.as_view()(request)

        if response.streaming:
            _ = [block async for block in response]

        assert view.most == most


async def test_number_of_parts_is_bounded(
    async_rf: AsyncRequestFactory, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Small(Busy):
        max_parts = 5

    request = async_rf.get("/")
    settings.PARTSTREAM = {"MAX_PARTS": 6}

    assert (await Busy.as_view()(request)).status_code == 200
    assert (await Small.as_view()(request)).status_code == 500
    assert (
        "get_parts() returned 6 parts; MAX_PARTS allows 5. Make one part of several, "
        "or raise PARTSTREAM['MAX_PARTS']."
    ) in caplog.text


@pytest.mark.parametrize(
    ("query", "size"), [("", 2), ("?chunk_size=3", 3), ("?chunk_size=100", 4)]
)
async def test_size_of_a_page_is_the_views(
    async_rf: AsyncRequestFactory, settings: Any, query: str, size: int
) -> None:
    class Pages(Busy):
        chunk_size = 2
        max_chunk_size = 4

    settings.PARTSTREAM = {"CHUNK_SIZE": 1, "MAX_CHUNK_SIZE": 3}
    page = await Pages.as_view()(async_rf.get(f"/{query}"))
    plain = await Busy.as_view()(async_rf.get("/?chunk_size=100"))

    assert page.data["meta"]["current_chunk_size"] == size
    assert plain.data["meta"]["current_chunk_size"] == 3


@pytest.mark.parametrize("kind", ["settings", "view"])
async def test_queue_and_heartbeat_are_the_views_or_the_settings(
    async_rf: AsyncRequestFactory, settings: Any, kind: str
) -> None:
    class Quiet(views.Flood):
        pass

    class Steps(views.Steps):
        pass

    if kind == "view":
        settings.PARTSTREAM = {"STREAM_QUEUE_FRAMES": 9, "HEARTBEAT_SECONDS": 60}
        Quiet.stream_queue_frames = 2
        Steps.heartbeat = 0.01
    else:
        settings.PARTSTREAM = {"STREAM_QUEUE_FRAMES": 2, "HEARTBEAT_SECONDS": 60}

    flood = aiter(await Quiet.as_view()(async_rf.get("/", headers=NDJSON)))
    await anext(flood)
    # The first write was the start alone; what waited meanwhile is the second.
    second = await anext(flood)
    await flood.aclose()

    if kind == "settings":
        settings.PARTSTREAM = {"HEARTBEAT_SECONDS": 0.01}

    steps = aiter(await Steps.as_view()(async_rf.get("/", headers=NDJSON)))

    # On a busy machine it is not the third.
    async with asyncio.timeout(60):
        while await anext(steps) != b'{"type":"ping"}\n':
            pass

    assert second.count(b"\n") == 2
    await steps.aclose()
