"""What the parts of one stream have to say, until its reader takes it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from django_partstream import frames
from django_partstream.flag import Flag

from .feed import Feed

if TYPE_CHECKING:
    from .outcome import Resolved

__all__ = ("Lane", "Outbox")


class Outbox:
    """One lane for each part, from which one reader takes in turns.

    So a part with much to say keeps another waiting for no longer than a batch, and
    what waits is bounded by the parts that are at work.
    """

    __slots__ = ("_changed", "_closed", "_waiting")

    def __init__(self) -> None:
        #: Lanes with something to take, each once.
        self._waiting: list[Lane] = []
        self._changed = Flag()
        self._closed = False

    def announce(self, lane: Lane) -> None:
        """There is something in this lane."""
        if lane not in self._waiting:
            self._waiting.append(lane)
            self._changed.set()

    def close(self) -> None:
        """Have nothing more taken."""
        self._closed = True
        self._changed.set()

    async def take(self) -> frames.Items | Resolved | None:
        """The next thing that a part says, as soon as one says something; None when
        the outbox was closed.

        A part that failed says nothing of its items any more.
        """
        while not self._closed:
            while self._waiting:
                lane = self._waiting.pop(0)
                said = lane.take()

                if isinstance(said, frames.Items):
                    self._waiting.append(lane)

                if said is not None:
                    return said

            self._changed.clear()
            await self._changed.wait()

        return None


class Lane:
    """The way of one part's items and, behind them, of what became of it."""

    __slots__ = ("_announce", "_name", "_resolved", "_seq", "_taken", "feed")

    def __init__(self, name: str, outbox: Outbox) -> None:
        self._name = name
        self._announce = functools.partial(outbox.announce, self)
        self._seq = 0
        self._resolved: Resolved | None = None
        self._taken = Flag()
        self.feed = Feed(self._announce)

    async def end(self, resolved: Resolved) -> None:
        """Say what became of the part, and wait until the reader took it."""
        self._resolved = resolved
        self._announce()
        await self._taken.wait()

    def take(self) -> frames.Items | Resolved | None:
        """The next batch, or how it ended; None where nothing waits."""
        if self._taken.is_set():
            return None

        failed = self._resolved is not None and self._resolved.problem is not None
        batch = None if failed else self.feed.take()

        if batch is not None:
            items = frames.Items(name=self._name, seq=self._seq, items=batch.array())
            self._seq += 1

            return items

        if self._resolved is not None:
            self._taken.set()

        return self._resolved
