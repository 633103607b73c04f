"""Where calls come back to the loop of their callers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from .call import Call

__all__ = ("Inbox",)


class Inbox:
    """Calls of one event loop that have ended; threads put, the loop looks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: The loop looks into it soon, without being told.
        self.is_watched = False
        self._ended: deque[Call] = deque()

    def put(self, call: Call, *, can_wait: bool) -> None:
        """In a thread: hand a call over; where it `can_wait`, with those behind it."""
        self._ended.append(call)

        # In this order: a look that the flag still promises finds the call.
        if can_wait and self.is_watched:
            return

        try:
            self.loop.call_soon_threadsafe(self.look)
        except RuntimeError:
            # The loop was closed, and whoever waited on it is gone.
            self._ended.clear()

    def look(self) -> None:
        """On the loop: deliver what has come."""
        while self._ended:
            self._ended.popleft().deliver()
