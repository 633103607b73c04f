"""The least that a message over channels-redis costs: one receiver in the process, and
a loop over ASGI send. BENCH_LAYER and BENCH_REDIS say which layer."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from .floors import EVENT, answer, ready, socket, tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("application",)

LAYERS = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
GROUP = "bench"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await socket(receive, send)
    elif scope["path"] == "/event/":
        await _state["layer"].group_send(GROUP, {"type": "bench", "text": EVENT})
        await answer(send, {})
    else:
        await ready(send)


_state: dict[str, Any] = {}


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()

    async with _receiving():
        await send({"type": "lifespan.startup.complete"})
        await receive()

    await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def _receiving() -> AsyncIterator[None]:
    layer = LAYERS[os.environ["BENCH_LAYER"]](hosts=[os.environ["BENCH_REDIS"]])
    _state["layer"] = layer
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    task = asyncio.create_task(_receive(layer, channel))

    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])

        if not task.cancelled():
            # It failed, which is why sockets have waited.
            task.result()


async def _receive(layer: Any, channel: str) -> None:
    while True:
        message = await layer.receive(channel)
        await tell(message["text"])
