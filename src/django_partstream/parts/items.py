"""Lists that are sent as they are made: their items, encoded, into a feed."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.db.models.query import RawQuerySet

from django_partstream import offload

from .awaited import put_awaited
from .group import GROUP_BYTES, GROUP_ITEMS, counted, encode_together
from .pending import Pending

if TYPE_CHECKING:
    from .feed import Feed
    from .group import EncodeMany, Piece

__all__ = ("is_list", "put_all")

#: Rows that are read from the database at a time.
CHUNK_ROWS = 1_000
#: That a group takes to be made and encoded, about.
GROUP_SECONDS = 0.005
#: How long a thread works on one list before others have their turn.
TURN_SECONDS = 0.02
#: An iterator that takes so long for an item is one that waits.
WAIT_SECONDS = 0.001


def is_list(value: Any) -> bool:
    """Whether the value is sent item by item. Containers are not: they are data."""
    return isinstance(value, (QuerySet, RawQuerySet, Iterator, AsyncIterable))


async def put_all(source: Any, feed: Feed, encode_many: EncodeMany | None) -> None:
    """Put every item of the list into `feed`, waiting for room as it fills.

    A sync list is iterated, encoded and closed in one thread; an async one on the
    loop, where its items are encoded as long as that is quick. `encode_many` is for
    items that need a serializer. Raises what the list raises, and UnencodableError.
    """
    is_query = isinstance(source, (QuerySet, RawQuerySet))

    # A QuerySet is both, and waits for its rows in a thread either way.
    if isinstance(source, AsyncIterable) and not is_query:
        await put_awaited(source, feed, encode_many)
        return

    if is_query or encode_many is not None:
        turns = offload.iterate_here(_put_groups, source, feed, encode_many)
    else:
        turns = offload.iterate_here(_put_items, source, feed, Pending(feed))

    async with contextlib.aclosing(turns):
        async for _ in turns:
            await feed.room()


def _put_items(source: Iterator[Any], feed: Feed, pending: Pending) -> Iterator[None]:
    """Put the items in; yield wherever others may have their turn."""
    clock, add = time.perf_counter, pending.add
    now = turn = clock()

    with _closing(source):
        for item in source:
            last, now = now, clock()

            if add(item, at_once=now - last > WAIT_SECONDS):
                # What was encoded meanwhile is no wait of the iterator's.
                now = clock()

                if feed.full:
                    yield from _turns(feed)
                    now = turn = clock()

            if now - turn > TURN_SECONDS:
                yield
                now = turn = clock()

        pending.encode()


def _put_groups(
    source: Any, feed: Feed, encode_many: EncodeMany | None
) -> Iterator[None]:
    """The same for rows, and for items that a serializer takes."""
    turn = time.perf_counter()

    with contextlib.closing(_groups(source, encode_many or encode_together)) as groups:
        for text, count in groups:
            if count:
                feed.put(text, count)

            if feed.full or time.perf_counter() - turn > TURN_SECONDS:
                yield from _turns(feed)
                turn = time.perf_counter()


def _turns(feed: Feed) -> Iterator[None]:
    yield

    while feed.full:
        yield


def _groups(source: Any, encode_many: EncodeMany) -> Generator[Piece]:
    """The items in groups, which grow as long as they are quickly made and small.

    The first is one item. No group spans two chunks of rows, since the first would
    have to wait for the second to be read.
    """
    items = _rows(source)
    size = 1

    with _closing(items), counted() as made:
        started = time.perf_counter()

        while group := list(itertools.islice(items, size)):
            text, count = encode_many(group)
            seconds = time.perf_counter() - started

            yield text, count

            made.items += len(group)
            quick = int(len(group) * GROUP_SECONDS / max(seconds, 1e-9))
            small = int(len(group) * GROUP_BYTES / max(len(text), 1))
            left = CHUNK_ROWS - made.items % CHUNK_ROWS
            size = max(1, min(quick, small, left, GROUP_ITEMS))
            started = time.perf_counter()


def _rows(source: Any) -> Iterator[Any]:
    if isinstance(source, RawQuerySet):
        return iter(source.iterator())

    # One that was evaluated by whoever made it has its rows.
    if isinstance(source, QuerySet) and source._result_cache is None:
        return source.iterator(chunk_size=CHUNK_ROWS)

    return iter(source)


@contextlib.contextmanager
def _closing(source: Iterable[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        close = getattr(source, "close", None)

        if close is not None:
            close()
