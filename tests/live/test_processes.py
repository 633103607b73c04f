"""Live streams over several processes: publishing, ending, going on elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forms import PATIENCE
from tests.live.servers import Server, serving, socket

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.mark.parametrize("backend", [CORE, PUBSUB], ids=["core", "pubsub"])
async def test_publish_in_one_process_reaches_the_live_stream_of_another(
    redis_url: str, backend: str
) -> None:
    layer = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [redis_url]}}}
    site = {"CHANNEL_LAYERS": layer}

    with serving(site, site) as (here, there):
        async with socket(here) as client:
            await client.subscribes("1", "/board/", live=True)
            await client.hears_until("live")
            await here.asks("/show/orders/changed/")
            await there.asks("/publish/orders/")
            (part,) = await client.hears_until("part")

    assert (part["name"], part["data"]) == ("orders", "changed")


async def test_server_that_stops_sends_its_clients_elsewhere_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    begun = tmp_path / "begun"
    environment = {"TEST_STEPS": str(begun), "TEST_STEPS_WAIT": "1"}

    with (
        serving({}, environment=environment) as (first,),
        serving({}, environment={"TEST_STEPS": str(begun)}) as (second,),
    ):
        async with socket(first) as client:
            await client.subscribes("1", "/steps/")
            heard = [(await client.hears())["payload"] for _ in range(4)]
            await all_begin(begun)
            first.process.request_stop()
            heard += await client.hears_until("end")
            code = await client.hears()

        async with socket(second) as client:
            await client.subscribes("1", "/steps/", cursor=heard[-1]["cursor"])
            resumed = await client.hears_until("end")
            complete = await client.hears()

        await first.ended()

    end = heard[-1]
    assert (end["reason"], end["ok"], end["failed"]) == ("shutdown", 3, 0)
    assert code == 1012
    assert (resumed[-1]["reason"], complete["type"]) == ("complete", "complete")
    assert data(heard) == {f"step{n}": n for n in range(3)}
    assert data(resumed) == {f"step{n}": n for n in range(3, 6)}
    # What was closed is not run again; what was not had begun in both.
    runs = Counter(line.split()[0] for line in begun.read_text().splitlines())
    assert runs == {"0": 1, "1": 1, "2": 1, "3": 2, "4": 2, "5": 2}


async def all_begin(begun: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(begun.read_text().splitlines()) < 6:
            await asyncio.sleep(0.01)


def data(heard: list[Any]) -> dict[str, Any]:
    return {frame["name"]: frame["data"] for frame in heard if frame["type"] == "part"}


async def test_live_stream_goes_on_at_another_server() -> None:
    with serving({}, {}) as (first, second):
        async with socket(first) as client:
            await client.subscribes("1", "/board/", live=True)
            await client.hears_until("live")
            first.process.request_stop()
            (end,) = await client.hears_until("end")
            code = await client.hears()

        async with socket(second) as client:
            await client.subscribes("1", "/board/", live=True, cursor=end["cursor"])
            await client.hears_until("live")
            await second.asks("/show/orders/changed/")
            await second.asks("/publish/orders/")
            (part,) = await client.hears_until("part")

    assert (end["reason"], code, part["data"]) == ("shutdown", 1012, "changed")


#: Of the server, for the client that does not read.
SEND_TIMEOUT = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving({"PARTSTREAM": {"SEND_TIMEOUT_SECONDS": SEND_TIMEOUT}}) as (server,):
        yield server


async def test_sync_part_holds_up_no_message_of_its_own_socket_or_of_another(
    server: Server,
) -> None:
    async with socket(server) as busy, socket(server) as other:
        await busy.subscribes("1", "/blocking/")
        await busy.hears_until("start")

        # Nothing lets the part go on before all of this.
        await pings(busy)
        await pings(other)
        await busy.says(id="1", type="complete")
        # The id is free at once, though its thread is not.
        await busy.subscribes("1", "/whoami/")
        heard = await busy.hears_until("end")
        await server.asks("/unblock/")

    assert heard[1]["name"] == "data"


async def test_client_that_does_not_read_delays_nobody_and_is_dropped(
    server: Server,
) -> None:
    async with (
        socket(server, max_queue=1, compression=None) as slow,
        socket(server) as other,
    ):
        await slow.subscribes("1", "/flood/")
        state = await server.asks("/state/")
        answered_meanwhile = 0

        async with asyncio.timeout(PATIENCE):
            while state["shown"].get("flood") != "ended":
                made = state["made"].get("flood", 0)
                await pings(other)
                state = await server.asks("/state/")

                # No more is made: the server waits for its client, and has not yet
                # dropped it.
                if made == state["made"].get("flood") and not state["shown"]:
                    answered_meanwhile += 1

        # What was sent before can still be read.
        while isinstance(heard := await slow.hears(), dict):
            pass

    # No more was made than what the sockets between the two hold.
    assert state["made"]["flood"] < 200
    assert heard in (1006, 1013)
    # Whoever had to wait for it would wait until it is dropped. In quiet it is 50.
    assert answered_meanwhile >= 1


async def pings(client: Any) -> None:
    """Asks five times, and is answered."""
    for _ in range(5):
        await client.says(type="ping")
        assert await client.hears() == {"type": "pong"}
