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
        turn = time.perf_counter()

        async with contextlib.AsyncExitStack() as stack:
            items = aiter(source)

            if hasattr(items, "aclose"):
                stack.push_async_callback(items.aclose)

            async for item in items:
                self._items.append(item)
                self._changed.set()

                # A list that never waits for anything must not keep the loop.
                if time.perf_counter() - turn > TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = time.perf_counter()

                while len(self._items) >= self.most:
                    self._taken.clear()
                    await self._taken.wait()
                    turn = time.perf_counter()

        self._ended = True
        self._changed.set()

    async def take(self) -> list[Any]:
        """What is there, when something is; nothing at the end."""
        while not self._items and not self._ended:
            self._changed.clear()
            await self._changed.wait()

        taken, self._items = self._items, []
        self._taken.set()

        return taken


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
