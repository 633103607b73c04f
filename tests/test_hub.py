"""Groups and mailboxes, over each kind of channel layer and over none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import Any

import pytest
from channels.layers import get_channel_layer

from django_partstream import hub
from django_partstream.hub import groups, membership, publishing

IN_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
#: Whether the layer makes itself heard is up to the machine; nothing waits so long.
SOON = 60.0
#: How much longer a busy machine may take. Without a limit it would be for ever.
BUSY = 20.0


def redis_layer(backend, url):
    return {"BACKEND": backend, "CONFIG": {"hosts": [url]}}


@pytest.fixture(params=["none", "in memory", "core", "pubsub"])
def layer(request, settings, monkeypatch):
    # Also on a busy machine it is heard before anybody gives it up.
    for module in (groups, membership, publishing):
        monkeypatch.setattr(module, "LAYER_SECONDS", SOON)

    match request.param:
        case "none":
            settings.CHANNEL_LAYERS = {}
        case "in memory":
            settings.CHANNEL_LAYERS = {"default": IN_MEMORY}
        case "core":
            url = request.getfixturevalue("redis_url")
            settings.CHANNEL_LAYERS = {"default": redis_layer(CORE, url)}
        case "pubsub":
            url = request.getfixturevalue("redis_url")
            settings.CHANNEL_LAYERS = {"default": redis_layer(PUBSUB, url)}

    return request.param


@pytest.fixture(params=[CORE, PUBSUB], ids=["core", "pubsub"])
def redis_backend(request):
    return request.param


@pytest.fixture
def unreachable(settings, redis_backend, refusing_port):
    """A layer whose Redis is not there."""
    url = f"redis://127.0.0.1:{refusing_port}"
    settings.CHANNEL_LAYERS = {"default": redis_layer(redis_backend, url)}


@pytest.fixture(autouse=True)
async def nothing_remains():
    yield

    # On a busy machine the goodbye may take longer than a leaver waits for it.
    await until(lambda: hub.running_hubs() == ())
    # A layer may keep tasks for as long as its loop lives; the hub may not.
    assert [task for task in asyncio.all_tasks() if "Membership." in repr(task)] == []


async def until(state):
    async with asyncio.timeout(SOON):
        while not state():
            await asyncio.sleep(0.01)


async def test_follower_receives_what_is_published(layer):
    async with hub.join("job.1") as mailbox:
        await hub.publish("job.1", {"seq": 1})

        assert await mailbox.get(SOON) == {"seq": 1}


async def test_every_message_is_read_once(layer):
    async with hub.join("job.1") as mailbox:
        await hub.publish("job.1", {"seq": 1})
        await mailbox.get(SOON)

        assert await mailbox.get(0.05) is None


async def test_newer_message_replaces_an_unread_one(layer):
    async with hub.join("job.1") as mailbox, hub.join("job.1") as witness:
        for number in range(20):
            await hub.publish("job.1", {"seq": number})

        await until(lambda: newest(witness) == {"seq": 19})

        assert await mailbox.get(SOON) == {"seq": 19}
        assert await mailbox.get(0.05) is None


def newest(mailbox):
    return mailbox._message


class Taking(hub.Mailbox):
    """Takes what comes while somebody waits, as `took` says."""

    __slots__ = ("came", "took")

    def __init__(self):
        super().__init__()
        self.came: list[int] = []
        self.took: Any = True

    def take(self, message):
        self.came.append(message["seq"])
        return self.took


async def waiting(mailbox):
    """Somebody who waits for the mailbox."""
    task = asyncio.create_task(mailbox.get(SOON))
    await until(lambda: mailbox._waiter is not None)
    return task


async def test_message_may_be_taken_without_waking_who_waits(layer):
    mailbox = Taking()

    async with hub.join("job.1", mailbox):
        task = await waiting(mailbox)
        await hub.publish("job.1", {"seq": 1})
        await until(lambda: mailbox.came == [1])
        mailbox.took = False
        await hub.publish("job.1", {"seq": 2})

        assert await task == {"seq": 2}
        assert mailbox.came == [1, 2]


async def test_message_is_offered_only_while_somebody_waits(layer):
    mailbox = Taking()

    async with hub.join("job.1", mailbox):
        await hub.publish("job.1", {"seq": 1})
        await until(lambda: newest(mailbox) is not None)

        assert await mailbox.get(SOON) == {"seq": 1}
        assert mailbox.came == []


async def test_who_waits_without_a_limit_is_not_ended_by_the_limit_before():
    async with hub.join("job.1") as mailbox:
        first = asyncio.create_task(mailbox.get(SOON))
        await until(lambda: mailbox._timer is not None)
        await hub.publish("job.1", {"seq": 2})
        assert await first == {"seq": 2}

        task = asyncio.create_task(mailbox.get())
        await until(lambda: mailbox._waiter is not None)
        # The timer of the limit goes off meanwhile; not by itself, which takes long.
        assert mailbox._timer is not None
        mailbox._timer.cancel()
        mailbox._ends_at = asyncio.get_running_loop().time()
        mailbox._goes_off()
        await asyncio.sleep(0)
        assert not task.done()
        await hub.publish("job.1", {"seq": 3})

        assert await task == {"seq": 3}


async def test_message_that_was_taken_makes_the_wait_longer():
    mailbox = Taking()

    async with hub.join("job.1", mailbox):
        task = await waiting(mailbox)
        before = mailbox._ends_at
        await asyncio.sleep(0.01)
        await hub.publish("job.1", {"seq": 1})

        assert mailbox._ends_at > before
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])


async def test_who_waits_does_what_taking_has_left_and_waits_on():
    done = []

    async def rest():
        # What comes meanwhile replaces what came before it, and is offered no more.
        await hub.publish("job.1", {"seq": 2})
        await hub.publish("job.1", {"seq": 3})
        done.append("the rest")

    mailbox = Taking()

    async with hub.join("job.1", mailbox):
        task = await waiting(mailbox)
        mailbox.took = rest()
        await hub.publish("job.1", {"seq": 1})

        assert await task == {"seq": 3}
        assert done == ["the rest"]
        assert mailbox.came == [1]


async def test_what_taking_has_left_is_closed_where_nobody_waits_any_more():
    closed = []

    class Rest:
        def close(self):
            closed.append(True)

    mailbox = Taking()

    async with hub.join("job.1", mailbox):
        task = await waiting(mailbox)
        mailbox.took = Rest()
        await hub.publish("job.1", {"seq": 1})
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

    assert closed == [True]


async def test_loop_has_its_turn_while_thousands_are_told():
    told = []

    class Counting:
        def put(self, message):
            told.append(message["seq"])

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(1000):
            following = await stack.enter_async_context(hub.listening(Counting()))
            await following.follow(["job.1"])

        await hub.publish("job.1", {"seq": 1})
        at_once = len(told)
        # Whoever was not told of the one before hears of this one alone.
        await hub.publish("job.1", {"seq": 2})
        await until(lambda: told.count(2) == 1000)

    assert at_once == 250
    assert told.count(1) == 250


async def test_who_left_while_others_were_told_is_told_nothing():
    class Never:
        def put(self, message):
            raise AssertionError(message)

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(300):
            await stack.enter_async_context(hub.join("job.1"))

        async with hub.listening(Never()) as following:
            await following.follow(["job.1"])
            await hub.publish("job.1", {"seq": 1})

        last = await stack.enter_async_context(hub.join("job.1"))
        await hub.publish("job.1", {"seq": 2})

        assert await last.get(SOON) == {"seq": 2}


async def test_groups_are_kept_apart(layer):
    async with hub.join("job.1") as one, hub.join("job.2") as other:
        await hub.publish("job.1", {"seq": 1})
        await hub.publish("job.2", {"seq": 2})

        assert await one.get(SOON) == {"seq": 1}
        assert await other.get(SOON) == {"seq": 2}


async def test_message_to_a_group_without_followers_is_dropped(layer):
    await hub.publish("job.1", {"seq": 1})

    async with hub.join("job.1") as mailbox:
        assert await mailbox.get(0.05) is None


@pytest.mark.parametrize("group", ["ünï", "a b", "x" * 300, "", "orders:7/*"])
async def test_group_may_have_any_name(layer, group):
    async with hub.join(group) as mailbox:
        await hub.publish(group, {"seq": 1})

        assert await mailbox.get(SOON) == {"seq": 1}


async def test_layer_knows_of_one_member_for_fifty_followers(settings):
    settings.CHANNEL_LAYERS = {"default": IN_MEMORY}

    async with contextlib.AsyncExitStack() as stack:
        mailboxes = [
            await stack.enter_async_context(hub.join("job.1")) for _ in range(50)
        ]
        await hub.publish("job.1", {"seq": 1})

        assert [await mailbox.get(SOON) for mailbox in mailboxes] == [{"seq": 1}] * 50
        assert [len(names) for names in get_channel_layer().groups.values()] == [1]
        assert hub.statistics() == hub.Statistics(
            groups=1, mailboxes=50, unpublished=hub.statistics().unpublished
        )

    assert get_channel_layer().groups == {}
    assert get_channel_layer().channels == {}


async def test_redis_knows_of_one_member_for_fifty_followers(settings, redis_url):
    settings.CHANNEL_LAYERS = {"default": redis_layer(CORE, redis_url)}
    layer = get_channel_layer()

    async with contextlib.AsyncExitStack() as stack:
        for _ in range(50):
            await stack.enter_async_context(hub.join("job.1"))

        members = await layer.connection(0).zcard("asgi:group:partstream.job.1")

    assert members == 1

    # The goodbye, which may come later.
    async with asyncio.timeout(SOON):
        while await layer.connection(0).zcard("asgi:group:partstream.job.1"):
            await asyncio.sleep(0.05)


async def test_pubsub_is_unsubscribed_by_the_last_follower(settings, redis_url):
    settings.CHANNEL_LAYERS = {"default": redis_layer(PUBSUB, redis_url)}
    layer = get_channel_layer()

    async with hub.join("job.1"), hub.join("job.1"):
        assert list(layer.groups) == ["asgi__group__partstream.job.1"]

    # As above.
    await until(lambda: layer.groups == layer.channels == {})


async def test_group_is_left_by_its_last_follower_though_others_stay(settings):
    settings.CHANNEL_LAYERS = {"default": IN_MEMORY}

    async with hub.join("job.1"):
        async with hub.join("job.2"):
            assert len(get_channel_layer().groups) == 2

        await until(lambda: list(get_channel_layer().groups) == ["partstream.job.1"])


async def test_group_that_is_left_and_joined_again_is_heard(layer):
    async with hub.join("job.1"):
        for number in range(20):
            async with hub.join("job.2") as mailbox:
                await hub.publish("job.2", {"seq": number})

                assert await mailbox.get(SOON) == {"seq": number}


async def test_cancelled_follower_leaves(layer):
    inside = asyncio.Event()

    async def follow():
        async with hub.join("job.1") as mailbox:
            inside.set()
            await mailbox.get(SOON)

    task = asyncio.create_task(follow())
    await inside.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_followers_that_come_and_go_at_once_leave_nothing(layer):
    async def follow(number):
        async with hub.join(f"job.{number % 5}") as mailbox:
            await mailbox.get(0.001 * (number % 7))

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(follow(number))


async def test_memory_of_the_layer_does_not_grow_with_its_followers(
    settings, redis_url
):
    settings.CHANNEL_LAYERS = {"default": redis_layer(CORE, redis_url)}
    layer = get_channel_layer()

    for _ in range(5):
        async with hub.join("job.1") as mailbox:
            await mailbox.get(0.02)

    assert len(layer.receive_buffer) <= 1


async def test_publisher_in_another_thread_is_heard_without_a_layer(settings):
    settings.CHANNEL_LAYERS = {}

    async with hub.join("job.1") as mailbox:
        thread = threading.Thread(
            target=lambda: asyncio.run(hub.publish("job.1", {"seq": 1}))
        )
        thread.start()

        assert await mailbox.get(SOON) == {"seq": 1}
        thread.join()


async def test_publishing_never_raises_when_redis_is_down(unreachable, caplog):
    before = hub.statistics().unpublished
    started = time.monotonic()

    with caplog.at_level(logging.WARNING, "django_partstream.hub"):
        await hub.publish("job.1", {"seq": 1})
        await hub.publish("job.1", {"seq": 2})

    assert time.monotonic() - started < 2 * hub.LAYER_SECONDS + BUSY
    assert hub.statistics().unpublished == before + 2
    # One line for as long as it lasts; an earlier test may have had it.
    assert len(caplog.records) <= 1


async def test_publishing_to_a_redis_that_does_not_answer_takes_a_second(
    settings, redis_backend
):
    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"redis://127.0.0.1:{port}"
        settings.CHANNEL_LAYERS = {"default": redis_layer(redis_backend, url)}
        started = time.monotonic()

        await hub.publish("job.1", {"seq": 1})

        assert time.monotonic() - started < hub.LAYER_SECONDS + BUSY
        await close_layer()


async def swallow(reader, writer):
    try:
        while await reader.read(4096):
            pass
    finally:
        writer.close()


async def close_layer():
    layer = get_channel_layer()
    await (layer.close_pools() if hasattr(layer, "close_pools") else layer.flush())


async def test_message_of_the_wrong_kind_does_not_raise(layer):
    async with hub.join("job.1"):
        await hub.publish("job.1", {"value": object()})


async def test_this_process_is_told_even_when_redis_is_down(unreachable):
    async with hub.join("job.1") as mailbox:
        await hub.publish("job.1", {"seq": 1})

        assert await mailbox.get(SOON) == {"seq": 1}


async def test_followers_are_not_held_up_when_redis_is_down(unreachable):
    started = time.monotonic()

    async with contextlib.AsyncExitStack() as stack:
        for number in range(10):
            await stack.enter_async_context(hub.join(f"job.{number}"))

    # A second for the one that finds out, and for the goodbye; not for each of the ten.
    assert time.monotonic() - started < 9 * hub.LAYER_SECONDS


async def test_followers_hear_again_after_redis_restarted(
    settings, redis_backend, redis_url, redis_server, monkeypatch
):
    monkeypatch.setattr(hub.Membership, "retry_seconds", (0.05, 0.1))
    settings.CHANNEL_LAYERS = {"default": redis_layer(redis_backend, redis_url)}

    async with hub.join("job.1") as mailbox:
        redis_server.kill()
        await hub.publish("job.1", {"seq": 1})
        assert await mailbox.get(SOON) == {"seq": 1}

        await asyncio.to_thread(redis_server.restart)

        assert (await published_until_heard(mailbox))["seq"] >= 2


async def published_until_heard(mailbox):
    """Publish through the layer alone, as another process would."""
    layer = get_channel_layer()

    async with asyncio.timeout(SOON):
        for number in range(2, 1000):
            with contextlib.suppress(Exception):
                await layer.group_send(
                    "partstream.job.1",
                    {
                        "type": "partstream",
                        "group": "job.1",
                        "message": {"seq": number},
                    },
                )

            if (message := await mailbox.get(0.1)) is not None:
                return message

    return None


async def test_group_that_redis_forgot_is_joined_again(
    settings, redis_url, monkeypatch
):
    monkeypatch.setattr(hub.Membership, "rejoin_seconds", 0.05)
    settings.CHANNEL_LAYERS = {"default": redis_layer(CORE, redis_url)}

    async with hub.join("job.1") as mailbox:
        await get_channel_layer().connection(0).flushall()

        assert (await published_until_heard(mailbox))["seq"] >= 2


async def test_hub_begins_when_redis_comes_late(
    settings, redis_backend, redis_url, redis_server, monkeypatch
):
    monkeypatch.setattr(hub.Membership, "retry_seconds", (0.05, 0.1))
    settings.CHANNEL_LAYERS = {"default": redis_layer(redis_backend, redis_url)}
    redis_server.kill()

    async with hub.join("job.1") as mailbox:
        await asyncio.to_thread(redis_server.restart)

        assert (await published_until_heard(mailbox))["seq"] >= 2
