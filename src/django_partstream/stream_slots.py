"""How many streams somebody has open in this process."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING

from .errors import TooManyStreamsError

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ("Slot", "Slots", "slots")


class Slots:
    """Counts what is held, by whoever holds it. For any thread."""

    def __init__(self) -> None:
        self._held: Counter[Hashable] = Counter()
        # What was given back is counted with the next look: the garbage collector
        # gives back too, perhaps in the midst of counting.
        self._returned: deque[Hashable] = deque()
        self._lock = threading.Lock()

    def take(self, holder: Hashable, limit: int) -> Slot:
        """One more for `holder`. Raises TooManyStreamsError when it has `limit`."""
        with self._lock:
            self._settle()

            if self._held[holder] >= limit:
                raise TooManyStreamsError(
                    f"{limit} streams are open already, which is all that one client "
                    "may have. Close one first."
                )

            self._held[holder] += 1

        return Slot(holder, self._returned)

    def held(self, holder: Hashable) -> int:
        with self._lock:
            self._settle()

            return self._held[holder]

    @property
    def total(self) -> int:
        """How many are held by everybody."""
        with self._lock:
            self._settle()

            return self._held.total()

    def _settle(self) -> None:
        while self._returned:
            holder = self._returned.popleft()
            self._held[holder] -= 1

            if not self._held[holder]:
                del self._held[holder]


class Slot:
    """One stream that somebody has open, until it is given back or forgotten."""

    __slots__ = (
        "_holder",
        "_returned",
    )

    def __init__(self, holder: Hashable, returned: deque[Hashable]) -> None:
        self._holder = [holder]
        self._returned = returned

    def give_back(self) -> None:
        """The stream is over. Said again, it changes nothing."""
        with contextlib.suppress(IndexError):
            self._returned.append(self._holder.pop())

    def __del__(self) -> None:
        # Nobody closes a response in whose place middleware has put another.
        self.give_back()


#: Of this process.
slots = Slots()
