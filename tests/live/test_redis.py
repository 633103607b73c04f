"""Subscribers while Redis goes away and comes back: the last state always arrives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from redis.exceptions import ConnectionError as RedisConnectionError

from asgi_example import services
from django_partstream import apublish, hub
from django_partstream.hub.layer import name_of
from django_partstream.jobs import progress, states
from django_partstream.jobs.execute import Pace, run_slice
from tests.jobs.work import make_job
from tests.live import views
from tests.socket_client import connect

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("prompt"),
]

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.fixture(params=[CORE, PUBSUB], ids=["core", "pubsub"])
def redis(
    request: Any,
    settings: Any,
    redis_url: str,
    redis_server: services.Redis,
    monkeypatch: Any,
) -> services.Redis:
    """The server behind the channel layer."""
    monkeypatch.setattr(hub.Membership, "retry_seconds", (0.05, 0.1))
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": request.param, "CONFIG": {"hosts": [redis_url]}}
    }
    settings.PARTSTREAM = {"POLL_SECONDS": 0.2, "LIVE_REFRESH_SECONDS": 0.2}

    return redis_server


async def test_subscribers_of_a_job_see_its_end_though_redis_is_down(
    application: Any, redis: services.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.CRITICAL)
    job = await sync_to_async(make_job)(30)
    url = f"/api/operations/{job.pk}/events/"

    async with connect(application) as client:
        client.says({"id": "1", "type": "subscribe", "payload": {"url": url}})
        await client.hears_all(2)
        redis.kill()

        try:
            # In another process, whose messages nobody carries.
            await sync_to_async(run_slice)(
                job.pk,
                worker="test:1",
                pace=Pace(commit=0.01),
                stopping=lambda: False,
                on_change=lambda job: None,
            )
            heard = await heard_until_complete(client)
        finally:
            await asyncio.to_thread(redis.restart)

    *shown, end, complete = heard
    numbers = [message["payload"]["seq"] for message in shown]
    assert numbers == sorted(set(numbers))
    assert shown[-1]["payload"]["state"] == "SUCCESS"
    assert (end["payload"]["ok"], end["payload"]["failed"]) == (26, 4)
    assert complete["type"] == "complete"


async def heard_until_complete(client: Any) -> list[Any]:
    heard: list[Any] = []

    while not heard or heard[-1]["type"] != "complete":
        heard.append(await client.hears())

    return heard


async def test_subscribers_of_a_job_hear_again_when_redis_is_back(
    application: Any, redis: services.Redis, settings: Any, caplog: Any
) -> None:
    caplog.set_level(logging.CRITICAL)
    settings.PARTSTREAM = {"POLL_SECONDS": 3600}
    job = await sync_to_async(make_job)(30)
    url = f"/api/operations/{job.pk}/events/"

    async with connect(application) as client:
        client.says({"id": "1", "type": "subscribe", "payload": {"url": url}})
        await client.hears_all(2)
        redis.kill()
        await asyncio.to_thread(redis.restart)
        shown = progress.snapshot(await sync_to_async(states.jobs().get)(pk=job.pk))
        heard = asyncio.create_task(client.hears())

        async with asyncio.timeout(60):
            while not heard.done():
                shown["seq"] += 1
                await published_elsewhere(progress.group_of(job.pk), shown)
                await asyncio.wait([heard], timeout=0.05)

        assert heard.result()["payload"]["type"] == "progress"


async def published_elsewhere(group: str, message: Any) -> None:
    """As another process does it: through the layer alone."""
    envelope = {"type": "partstream", "group": group, "message": message}

    # A connection from before the restart.
    with contextlib.suppress(RedisConnectionError):
        await get_channel_layer().group_send(name_of(group), envelope)


async def test_live_stream_shows_the_last_state_though_redis_was_restarted(
    application: Any, redis: services.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.CRITICAL)

    async with connect(application) as client:
        client.says(
            {
                "id": "1",
                "type": "subscribe",
                "payload": {"url": "/board/?parts=stock", "live": True},
            }
        )
        await client.hears_all(3)
        redis.kill()
        await asyncio.to_thread(redis.restart)
        views.shown["stock"] = "while it was away"
        missed = await client.hears()
        views.shown["stock"] = "later"
        await apublish("stock")
        later = await client.hears()

    assert missed["payload"]["data"] == "while it was away"
    assert later["payload"]["data"] == "later"
