"""Items of an async list: made by its own task, encoded by another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from django_partstream import encoding, offload

from .feed import MAX_BYTES, MAX_ITEMS
from .group import counted, encode_together
from .size import is_small

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from .feed import Feed
    from .group import EncodeMany, Piece

__all__ = ("put_awaited",)

#: How long the loop works on one list before others have their turn.
TURN_SECONDS = 0.002
#: The clock is looked at after so many items at most: as soon as they take long, after
#: each.
MAX_STRIDE = 64


async def put_awaited(
    source: AsyncIterable[Any], feed: Feed, encode_many: EncodeMany | None
) -> None:
    """Put every item into `feed`, waiting for room as it fills.

    Raises what the list raises, and UnencodableError.
    """
    raw = _Raw()
    error: Exception | None = None

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_encode_all(raw, feed, encode_many))
            await raw.put_all(source)
    except ExceptionGroup as errors:
        # Either side fails alone: the other is cancelled then.
        error = errors.exceptions[0]

    if error is not None:
        raise error


class _Raw:
    """Items of an async list that wait to be encoded.

    The list is driven by one task and its items are encoded by another, which gets
    its turn when the list really waits for something: so what is ready goes out
    together, and at once.
    """

    def __init__(self) -> None:
        #: How many may wait: few, as long as nobody knows how large they are.
        self.most = 1
        self._items: list[Any] = []
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._ended = False

    async def put_all(self, source: AsyncIterable[Any]) -> None:
        clock, waiting = time.perf_counter, self._items
        append = waiting.append
        turn = looked = clock()
        stride = stop = 1

        async with contextlib.AsyncExitStack() as stack:
            items = aiter(source)

            if hasattr(items, "aclose"):
                stack.push_async_callback(items.aclose)

            async for item in items:
                append(item)

                if 1 < len(waiting) < stop:
                    continue

                # The first ever, or since others were taken while the list waited.
                if len(waiting) == 1:
                    self._changed.set()
                    stop = min(stride, self.most)

                    if stop > 1:
                        continue

                now = clock()
                stride = _next_stride(stride, now - looked)

                # A list that never waits for anything must not keep the loop.
                if now - turn > TURN_SECONDS:
                    await asyncio.sleep(0)
                    now = turn = clock()

                while len(waiting) >= self.most:
                    self._taken.clear()
                    await self._taken.wait()
                    now = turn = clock()

                looked = now
                stop = min(len(waiting) + stride, self.most)

        self._ended = True
        self._changed.set()

    async def take(self) -> list[Any]:
        """What is there, when something is; nothing at the end."""
        while not self._items and not self._ended:
            self._changed.clear()
            await self._changed.wait()

        taken = self._items[:]
        self._items.clear()
        self._taken.set()

        return taken


def _next_stride(stride: int, seconds: float) -> int:
    """After how many items to look at the clock, where so many took so long."""
    if seconds > TURN_SECONDS / 8:
        return 1

    return min(2 * stride, MAX_STRIDE)


async def _encode_all(raw: _Raw, feed: Feed, encode_many: EncodeMany | None) -> None:
    # Of an item, as far as is known.
    size = 0

    with counted() as made:
        while group := await raw.take():
            quick = size * len(group) <= MAX_BYTES if size else is_small(group)
            text, count = await _encode_group(group, encode_many, quick=quick)

            if count:
                feed.put(text, count)

            made.items += len(group)
            size = len(text) // len(group) + 1
            raw.most = max(1, min(MAX_BYTES // size, MAX_ITEMS))
            await feed.room()


async def _encode_group(
    group: list[Any], encode_many: EncodeMany | None, *, quick: bool
) -> Piece:
    if encode_many is None and quick:
        plain = encoding.encode_plain(group)

        if plain is not None:
            return plain[1:-1], len(group)

    piece: Piece = await offload.run_here(encode_many or encode_together, group)

    return piece
