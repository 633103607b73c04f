"""Lists that are sent as they are made: how their items become JSON."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.models import QuerySet
from django.db.models.query import RawQuerySet

from django_partstream import encoding, offload
from django_partstream.errors import UnencodableError

from .feed import MAX_BYTES, MAX_ITEMS
from .size import is_small

if TYPE_CHECKING:
    from .feed import Feed

__all__ = ("EncodeMany", "is_list", "put_all")

#: Some items, as JSON with commas between, and how many they became.
Piece: TypeAlias = tuple[bytes, int]
#: Encodes several items at once.
EncodeMany: TypeAlias = Callable[[Sequence[Any]], Piece]

#: Rows that are read from the database at a time.
CHUNK_ROWS = 1_000
#: What is encoded together, where items are not encoded one by one.
GROUP_ITEMS = 200
GROUP_BYTES = 16 * 1024
GROUP_SECONDS = 0.005
#: How long a thread, or the loop, works on one list before others have their turn.
THREAD_SECONDS = 0.02
LOOP_SECONDS = 0.002


def is_list(value: Any) -> bool:
    """Whether the value is sent item by item. Containers are not: they are data."""
    return isinstance(value, (QuerySet, RawQuerySet, Iterator, AsyncIterable))


async def put_all(source: Any, feed: Feed, encode_many: EncodeMany | None) -> None:
    """Put every item of the list into `feed`, waiting for room as it fills.

    A sync list is iterated, encoded and closed in one thread; an async one on the
    loop, where its items are encoded as long as that is quick. `encode_many` is for
    items that need a serializer. Raises what the list raises, and UnencodableError.
    """
    if _is_async(source):
        await _put_async(source, feed, encode_many)
        return

    turns = offload.iterate_here(_put, source, feed, encode_many)

    async with contextlib.aclosing(turns):
        async for _ in turns:
            await feed.room()


def _is_async(source: Any) -> bool:
    # A QuerySet is both, and waits for its rows in a thread either way.
    return isinstance(source, AsyncIterable) and not isinstance(source, QuerySet)


def _put(source: Any, feed: Feed, encode_many: EncodeMany | None) -> Iterator[None]:
    """Put the items in; yield wherever others may have their turn."""
    turn = time.perf_counter()

    with contextlib.closing(_pieces(source, encode_many)) as pieces:
        for text, count in pieces:
            feed.put(text, count)

            if time.perf_counter() - turn > THREAD_SECONDS:
                yield
                turn = time.perf_counter()

            while feed.full:
                yield
                turn = time.perf_counter()


def _pieces(source: Any, encode_many: EncodeMany | None) -> Any:
    if isinstance(source, (QuerySet, RawQuerySet)):
        return _groups(_rows(source), encode_many or _encode_many)

    if encode_many is not None:
        return _groups(source, encode_many)

    return _one_by_one(source)


def _rows(rows: QuerySet[Any] | RawQuerySet[Any]) -> Iterable[Any]:
    if isinstance(rows, RawQuerySet):
        return rows.iterator()

    # Evaluated by whoever made it: the rows are there.
    if rows._result_cache is not None:
        return iter(rows)

    return rows.iterator(chunk_size=CHUNK_ROWS)


def _one_by_one(source: Iterable[Any]) -> Iterator[Piece]:
    # A generator may wait before any item, and nothing tells when it will.
    with _closing(source), _counted() as counted:
        for text in encoding.encode_each(source):
            yield text, 1
            counted.made += 1


def _groups(source: Iterable[Any], encode_many: EncodeMany) -> Iterator[Piece]:
    """The items in groups, which grow as long as they are quickly made and small.

    The first is one item. No group spans two chunks of rows, since the first would
    have to wait for the second to be read.
    """
    size = 1

    with _closing(source), _counted() as counted:
        items = iter(source)
        started = time.perf_counter()

        while group := list(itertools.islice(items, size)):
            text, count = encode_many(group)
            seconds = time.perf_counter() - started

            if count:
                yield text, count

            counted.made += len(group)
            quick = int(len(group) * GROUP_SECONDS / max(seconds, 1e-9))
            small = int(len(group) * GROUP_BYTES / max(len(text), 1))
            size = max(
                1,
                min(quick, small, GROUP_ITEMS, CHUNK_ROWS - counted.made % CHUNK_ROWS),
            )
            started = time.perf_counter()


class _Counted:
    made = 0


@contextlib.contextmanager
def _counted() -> Iterator[_Counted]:
    """Have an item that cannot be encoded told by its place in the whole list."""
    counted = _Counted()

    try:
        yield counted
    except UnencodableError as error:
        raise UnencodableError(f"After {counted.made} items: {error.detail}") from error


@contextlib.contextmanager
def _closing(source: Any) -> Iterator[None]:
    try:
        yield
    finally:
        close = getattr(source, "close", None)

        if close is not None:
            close()


def _encode_many(items: Sequence[Any]) -> Piece:
    return encoding.encode(items)[1:-1], len(items)


async def _put_async(
    source: AsyncIterable[Any], feed: Feed, encode_many: EncodeMany | None
) -> None:
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
                if time.perf_counter() - turn > LOOP_SECONDS:
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

    with _counted() as counted:
        while group := await raw.take():
            quick = size * len(group) <= MAX_BYTES if size else is_small(group)
            text, count = await _encode_group(group, encode_many, quick=quick)

            if count:
                feed.put(text, count)

            counted.made += len(group)
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

    piece: Piece = await offload.run_here(encode_many or _encode_many, group)

    return piece
