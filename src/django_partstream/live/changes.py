"""What was published, and when to make parts of it again."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any

from django_partstream.flag import Flag

from .checking import is_live

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_partstream.parts.part import Part

__all__ = ("Changes", "Due", "Pace")

#: Between a publish and the parts made again, so that more can come: at first, and at
#: most while publishes keep coming.
PAUSE_SECONDS = (0.1, 1.0)
#: Longer where making the parts takes longer, up to this.
MAX_PAUSE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be made again."""

    #: The parts that have one of these topics; None: all live parts.
    topics: frozenset[str] | None
    #: `time.time()`; what was made before may not have seen what changed.
    since: float

    def has(self, part: Part) -> bool:
        return is_live(part) and (
            self.topics is None or not self.topics.isdisjoint(part.value.topics)
        )


class Changes:
    """Topics that were published and not taken yet."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._since = 0.0
        self._arrived = Flag()

    def put(self, message: Mapping[str, Any], /) -> None:
        self._topics.add(message.get("topic", ""))
        # By the clock of whoever keeps the values, not of whoever published.
        self._since = time.time()
        self._arrived.set()

    async def wait(self, seconds: float) -> bool:
        """Whether one comes within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        else:
            return True

    def take(self) -> Due:
        taken, self._topics = frozenset(self._topics), set()
        self._arrived.clear()

        return Due(topics=taken, since=self._since)

    @property
    def waiting(self) -> bool:
        return self._arrived.is_set()


class Pace:
    """How long to wait for more after a publish: the longer, the more there is."""

    def __init__(self) -> None:
        self._seconds, self._most = PAUSE_SECONDS
        self._took = 0.0

    @property
    def pause(self) -> float:
        seconds = min(max(self._seconds, self._took), MAX_PAUSE_SECONDS)

        # Thousands may have heard of the same change at the same time.
        return seconds * random.uniform(0.5, 1.0)

    def made(self, *, seconds: float, busy: bool) -> None:
        """Parts were made again; `busy`: something was published meanwhile."""
        first, most = PAUSE_SECONDS
        self._seconds = min(2 * self._seconds, most) if busy else first
        self._took = seconds
