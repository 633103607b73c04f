"""Items of a sync iterator that wait to be encoded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from django_partstream import encoding

from .group import GROUP_BYTES, GROUP_ITEMS, counted, encode_together
from .size import is_small

if TYPE_CHECKING:
    from .feed import Feed

__all__ = ("Pending",)

#: How long an item may wait for the next.
LINGER_SECONDS = 0.002


class Pending:
    """Encodes items in groups, which costs a fraction of one by one.

    An iterator may wait for something at any time, and nobody can tell that it will.
    What its thread has not encoded by then is encoded on the loop, a moment later,
    where that is quick and calls nothing.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._items: deque[Any] = deque()
        #: Of whoever takes items out, until they are in the feed.
        self._taking = threading.Lock()
        #: How many make a group: one, as long as nobody knows how large they are.
        self._most = 1
        #: None of the items, so far, had to be encoded in the thread.
        self._plain = True
        #: The loop looks after them in a moment.
        self._watched = False

    def add(self, item: Any, *, at_once: bool) -> None:
        """In the thread. `at_once`: the iterator waits between its items.

        Raises UnencodableError.
        """
        self._items.append(item)

        if at_once or len(self._items) >= self._most:
            self.encode()
        elif not self._watched:
            self._watched = True
            self._loop.call_soon_threadsafe(
                self._loop.call_later, LINGER_SECONDS, self._look
            )

    def encode(self) -> None:
        """In the thread: encode all that wait. Raises UnencodableError."""
        with self._taking, counted() as found:
            found.items = self._feed.count

            if group := self._take():
                text, count = encode_together(group)
                self._feed.put(text, count)
                size = len(text) // count + 1
                most = min(GROUP_BYTES // size, GROUP_ITEMS) if self._plain else 1
                self._most = max(1, most)

    def _take(self) -> list[Any]:
        # Not more than are there now: the thread may put others in.
        return [self._items.popleft() for _ in range(len(self._items))]

    def _look(self) -> None:
        # First, so that an item that comes from now on is not overlooked.
        self._watched = False

        # Else the thread is encoding, and the iterator does not wait.
        if not self._taking.acquire(blocking=False):
            return

        try:
            group = self._take()
            plain = encoding.encode_plain(group) if is_small(group) else None

            if plain is not None:
                self._put(plain, len(group))
            else:
                # For the thread, with its next item; and no longer in groups.
                self._items.extendleft(reversed(group))
                self._plain = False
                self._most = 1
        finally:
            self._taking.release()

    def _put(self, array: bytes, count: int) -> None:
        if count:
            self._feed.put(array[1:-1], count)
