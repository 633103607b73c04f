"""Items of a sync iterator that wait to be encoded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from django_partstream import encoding

from .feed import MAX_BYTES, MAX_ITEMS
from .group import counted, encode_together

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

    def add(self, item: Any, *, at_once: bool) -> bool:
        """In the thread. `at_once`: the iterator waits between its items.

        Whether it was encoded. Raises UnencodableError.
        """
        items = self._items
        items.append(item)

        if at_once or len(items) >= self._most:
            self.encode()
            return True

        if not self._watched:
            self._watched = True
            self._loop.call_soon_threadsafe(
                self._loop.call_later, LINGER_SECONDS, self._look
            )

        return False

    def encode(self) -> None:
        """In the thread: encode all that wait. Raises UnencodableError."""
        with self._taking, counted() as found:
            found.items = self._feed.count

            if group := list(self._items):
                self._items.clear()
                text, count = encode_together(group)
                self._feed.put(text, count)
                size = len(text) // count + 1
                most = min(MAX_BYTES // size, MAX_ITEMS) // 2
                self._most = max(1, most) if self._plain else 1

    def _look(self) -> None:
        # First, so that an item that comes from now on is not overlooked.
        self._watched = False

        # Else the thread is encoding, and the iterator does not wait.
        if not self._taking.acquire(blocking=False):
            return

        try:
            # Not more than are there now: the thread may put others in.
            group = [self._items.popleft() for _ in range(len(self._items))]
            plain = encoding.encode_plain(group)

            if plain is None:
                # For the thread, with its next item; and no longer in groups.
                self._items.extendleft(reversed(group))
                self._plain = False
                self._most = 1
            elif group:
                self._feed.put(plain[1:-1], len(group))
        finally:
            self._taking.release()
