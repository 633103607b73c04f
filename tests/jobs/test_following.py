"""What followers of jobs see when messages are lost, and when nobody can publish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.db import DatabaseError, connections
from django.test import AsyncClient

from django_partstream import frames, hub, offload
from django_partstream.asgi import get_application
from django_partstream.jobs import following, progress, states, watching
from django_partstream.models import Job, JobCancel
from tests.forms import count
from tests.jobs.conftest import Run
from tests.jobs.work import make_job
from tests.socket_client import connect

pytestmark = pytest.mark.django_db(transaction=True)

POLL_SECONDS = 0.5
LAYERS = {
    "in-memory": "channels.layers.InMemoryChannelLayer",
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


async def collect(job: Job) -> tuple[list[frames.Frame], float]:
    """All frames of a job, and when the last one came."""
    async with contextlib.aclosing(following.follow(job.pk)) as stream:
        return [frame async for frame in stream], time.monotonic()


def snapshots(seen: list[frames.Frame]) -> list[Any]:
    return [frame.snapshot for frame in seen if isinstance(frame, frames.Progress)]


@contextlib.asynccontextmanager
async def a_pool() -> Any:
    pool = offload.Pool(1, name="test-job")

    try:
        yield pool
    finally:
        pool.close()


def use_layer(settings: Any, name: str, redis_url: str, seed: int) -> None:
    config = {} if name == "in-memory" else {"hosts": [redis_url], "prefix": f"t{seed}"}
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "django_partstream.testing.LossyChannelLayer",
            "CONFIG": {
                "layer": {"BACKEND": LAYERS[name], "CONFIG": config},
                # Two tenths come as they are.
                "drop": 0.5,
                "double": 0.15,
                "reorder": 0.15,
                "seed": seed,
            },
        }
    }


def one_by_one(publisher: progress.Publisher) -> Any:
    """Has a job wait until what it offers was sent: each snapshot is one message,
    however late the loop gets a turn."""
    counts = channel_layers["default"].counts

    def offer(job: Job) -> None:
        before = counts["sent"]
        publisher.offer(job)
        ends_at = time.monotonic() + 20

        while counts["sent"] == before:
            assert time.monotonic() < ends_at
            time.sleep(0.001)

    return offer


async def close_layer() -> None:
    layer = channel_layers["default"]

    # The in-memory one has nothing to close.
    await getattr(layer, "close_pools", layer.flush)()


@pytest.mark.parametrize("seed", range(count(1, 20)))
@pytest.mark.parametrize("name", LAYERS)
async def test_with_half_of_the_messages_lost_seq_rises_and_the_end_is_seen(
    run: Run,
    settings: Any,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    seed: int,
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": POLL_SECONDS}
    use_layer(settings, name, redis_url, seed)
    monkeypatch.setattr(progress, "PUBLISH_SECONDS", 0.005)
    looks: list[float] = []
    news = watching._news

    def look(seen: Any) -> Any:
        looks.append(time.monotonic())

        return news(seen)

    monkeypatch.setattr(watching, "_news", look)
    # More messages than any of the seeds needs for one of each kind.
    job = await sync_to_async(make_job)(300)

    try:
        async with (
            a_pool() as pool,
            asyncio.TaskGroup() as tasks,
            progress.Publisher().running() as publisher,
        ):
            followers = [tasks.create_task(collect(job)) for _ in range(3)]
            await pool.run(run, job, on_change=one_by_one(publisher))
            ended_at = time.monotonic()

        counts = channel_layers["default"].counts
        assert min(counts["dropped"], counts["doubled"], counts["reordered"]) > 0, (
            counts
        )

        for follower in followers:
            seen, last_at = follower.result()
            numbers = [shown["seq"] for shown in snapshots(seen)]
            assert numbers == sorted(set(numbers))
            assert snapshots(seen)[-1]["state"] == "SUCCESS"
            assert isinstance(seen[-1], frames.End)
            # The next look shows it, if no message has.
            assert sum(ended_at < at < last_at for at in looks) <= 1
            assert last_at - ended_at < POLL_SECONDS + 10
    finally:
        await close_layer()


async def test_stale_messages_do_not_put_off_the_next_look(settings: Any) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.3}
    job = await sync_to_async(make_job)(5, seq=7)
    stale = progress.snapshot(job)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(collect(job))

        while not hub.statistics().mailboxes:
            await asyncio.sleep(0)

        await states.jobs().filter(pk=job.pk).aupdate(seq=8, state="CANCELLED")

        while not follower.done():
            await hub.publish(progress.group_of(job.pk), stale)
            await asyncio.sleep(0.01)

    assert snapshots(follower.result()[0])[-1]["state"] == "CANCELLED"


async def test_word_that_a_job_is_to_be_cancelled_is_news_to_its_followers(
    settings: Any,
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.05}
    job = await sync_to_async(make_job)(5, seq=6, state="PROGRESS")

    async with (
        asyncio.timeout(30),
        contextlib.aclosing(following.follow(job.pk)) as stream,
    ):
        seen = [await anext(stream), await anext(stream)]
        await JobCancel.objects.acreate(job_id=job.pk)
        seen.append(await anext(stream))
        await sync_to_async(states.finish_cancel)(job.pk)
        seen += [frame async for frame in stream]

    assert [(shown["seq"], shown["state"]) for shown in snapshots(seen)] == [
        (6, "PROGRESS"),
        (7, "CANCELLING"),
        (8, "CANCELLED"),
    ]


async def test_all_that_is_followed_is_looked_for_with_one_query(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.1}
    looks: list[set[Any]] = []
    news = watching._news

    def look(seen: Any) -> Any:
        looks.append({*seen})

        return news(seen)

    monkeypatch.setattr(watching, "_news", look)
    jobs = [await sync_to_async(make_job)() for _ in range(10)]
    started = time.monotonic()

    async with asyncio.TaskGroup() as tasks:
        followers = [tasks.create_task(collect(job)) for job in jobs * 20]

        while sum(len(look) == 10 for look in looks) < 5:
            await asyncio.sleep(0.01)

        came = len(looks)
        spent = time.monotonic() - started
        await states.jobs().aupdate(state="CANCELLED", seq=9)

    # Four fifths of the interval at least between two looks, whoever comes.
    assert came <= 5 + 10 + spent / 0.08
    assert all(
        snapshots(follower.result()[0])[-1]["state"] == "CANCELLED"
        for follower in followers
    )
    assert not watching._watches


async def test_a_job_that_goes_while_it_is_followed_ends_the_stream(
    settings: Any,
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.05}
    job = await sync_to_async(make_job)()

    async with contextlib.aclosing(following.follow(job.pk)) as stream:
        await anext(stream)
        await anext(stream)
        await Job.objects.all().adelete()

        assert isinstance(await anext(stream), frames.End)


async def test_followers_stay_while_the_database_is_away(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.05}
    news = watching._news
    away = True

    def look(seen: Any) -> Any:
        if away:
            raise DatabaseError("the database is away")

        return news(seen)

    monkeypatch.setattr(watching, "_news", look)
    job = await sync_to_async(make_job)(state="CANCELLED")

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(collect(job))

        while "the followed jobs cannot be read" not in caplog.text:
            await asyncio.sleep(0.01)

        assert not follower.done()
        away = False

    assert snapshots(follower.result()[0])[-1]["state"] == "CANCELLED"


@contextlib.contextmanager
def a_black_hole() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        thread = threading.Thread(target=take)
        thread.start()

        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()

            for one in taken:
                one.close()


@pytest.mark.parametrize("what", ["down", "hanging"])
async def test_publishing_neither_fails_nor_slows_a_job(
    run: Run, settings: Any, what: str
) -> None:
    """Jobs of thirty commits, whose every snapshot would take a second to fail."""
    settings.PARTSTREAM = {"POLL_SECONDS": POLL_SECONDS}
    offers: list[float] = []

    with a_black_hole() as port:
        host = f"redis://127.0.0.1:{1 if what == 'down' else port}/0"
        settings.CHANNEL_LAYERS = {
            "default": {"BACKEND": LAYERS["core"], "CONFIG": {"hosts": [host]}}
        }
        jobs = [await sync_to_async(make_job)(300) for _ in range(2)]

        async with (
            a_pool() as pool,
            asyncio.TaskGroup() as tasks,
            progress.Publisher().running() as publisher,
        ):

            def offer(job: Job) -> None:
                started = time.monotonic()
                publisher.offer(job)
                offers.append(time.monotonic() - started)

            follower = tasks.create_task(collect(jobs[0]))

            for job in jobs:
                await pool.run(run, job, on_change=offer)

        assert len(offers) > 50
        # Some wait for a busy machine; whoever waits for the layer waits with each.
        assert statistics.median(offers) < 0.2
        states_now = {job.state async for job in states.jobs()}
        assert states_now == {"SUCCESS"}
        assert snapshots(follower.result()[0])[-1]["state"] == "SUCCESS"
        await channel_layers["default"].close_pools()


async def test_no_job_is_published_more_than_four_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[Any] = []

    async def publish(group: str, message: Any) -> None:
        published.append((group, message["seq"]))

    monkeypatch.setattr(hub, "publish", publish)
    jobs = [await sync_to_async(make_job)() for _ in range(2)]
    started = time.monotonic()

    async with progress.Publisher().running() as publisher:
        while time.monotonic() - started < 1.1:
            for job in jobs:
                job.seq += 1
                publisher.offer(job)

            await asyncio.sleep(0)

    for job in jobs:
        numbers = [
            seq for group, seq in published if group == progress.group_of(job.pk)
        ]
        # At once, every quarter of a second, and what was offered last.
        assert 2 <= len(numbers) <= 1 + 4 + 2
        assert numbers == sorted(numbers)
        assert numbers[-1] == job.seq


async def test_each_way_out_shows_the_same_under_losses(
    run: Run,
    settings: Any,
    async_client: AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NDJSON, events, a socket and whoever polls: rising, and to the same end."""
    settings.PARTSTREAM = {"POLL_SECONDS": POLL_SECONDS}
    use_layer(settings, "in-memory", "", 3)
    monkeypatch.setattr(progress, "PUBLISH_SECONDS", 0.005)
    job = await sync_to_async(make_job)(300)
    url = f"/api/operations/{job.pk}/events/"

    async def streamed(accept: str) -> list[Any]:
        response: Any = await async_client.get(url, headers={"Accept": accept})
        text = b"".join([piece async for piece in response]).decode()
        data = (line.removeprefix("data: ") for line in text.splitlines())

        return [json.loads(line) for line in data if line.startswith("{")]

    async def over_a_socket() -> list[Any]:
        async with connect(get_application()) as client:
            client.says({"id": "1", "type": "subscribe", "payload": {"url": url}})
            heard = [await client.hears()]

            while heard[-1]["type"] != "complete":
                heard.append(await client.hears())

        return [message["payload"] for message in heard[:-1]]

    async def polled() -> list[Any]:
        seen: list[Any] = []
        etag = ""

        while not seen or seen[-1]["state"] not in progress.TERMINAL:
            response = await async_client.get(
                f"/api/operations/{job.pk}/status/",
                headers={"Prefer": "wait=5", "If-None-Match": etag},
            )
            etag = response["ETag"]

            if response.status_code == 200:
                seen.append({"type": "progress", **response.json()})

        return seen

    async with (
        a_pool() as pool,
        asyncio.TaskGroup() as tasks,
        progress.Publisher().running() as publisher,
    ):
        ways = [
            tasks.create_task(way)
            for way in (
                streamed("application/x-ndjson"),
                streamed("text/event-stream"),
                over_a_socket(),
                polled(),
            )
        ]
        await pool.run(run, job, on_change=publisher.offer)

    for way in ways:
        shown = [frame for frame in way.result() if frame["type"] == "progress"]
        numbers = [frame["seq"] for frame in shown]
        assert numbers == sorted(set(numbers))
        assert shown[-1]["state"] == "SUCCESS"
        assert shown[-1]["progress"]["current"] == 300

    for way in ways[:3]:
        *_, end = way.result()
        assert (end["type"], end["ok"], end["failed"]) == ("end", 258, 42)

    await sync_to_async(connections.close_all)()
