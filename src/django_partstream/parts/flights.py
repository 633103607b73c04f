"""One computation at a time for each key of this process, whoever asks, on any loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import threading
import time
from typing import Any, Final

__all__ = ("HANDED_OVER", "Flight", "Flights")


class _HandedOver:
    """The leader was cancelled: whoever waits asks again, and one of them leads."""


HANDED_OVER: Final = _HandedOver()


@dataclasses.dataclass(eq=False, slots=True)
class Flight:
    """A computation that is under way, and its outcome for those who wait."""

    loop: asyncio.AbstractEventLoop
    started: float = dataclasses.field(default_factory=time.time)
    _outcome: concurrent.futures.Future[Any] = dataclasses.field(
        default_factory=concurrent.futures.Future
    )

    def __post_init__(self) -> None:
        # As running it cannot be cancelled by a follower that is.
        self._outcome.set_running_or_notify_cancel()

    async def follow(self) -> Any:
        """Wait, on the caller's own loop: what the leader landed with, HANDED_OVER, or
        the leader's exception."""
        return await asyncio.wrap_future(self._outcome)

    def land(self, outcome: Any) -> None:
        self._outcome.set_result(outcome)

    def crash(self, error: Exception) -> None:
        self._outcome.set_exception(error)


class Flights:
    """The computations of this process that are under way, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[str, Flight] = {}

    def join(self, key: str, *, not_before: float) -> tuple[Flight, bool]:
        """The flight to follow; with True, one that the caller now leads.

        One that began before `not_before` is not followed, nor one whose loop is
        gone: the caller's takes its place.
        """
        with self._lock:
            flight = self._flying.get(key)

            if (
                flight is not None
                and flight.started >= not_before
                and not flight.loop.is_closed()
            ):
                return flight, False

            flight = self._flying[key] = Flight(asyncio.get_running_loop())

            return flight, True

    def leave(self, key: str, flight: Flight) -> bool:
        """Let nobody join it any more; whether it was still the one of its key. Comes
        before it lands, so that followers who ask again do not find it."""
        with self._lock:
            if self._flying.get(key) is not flight:
                return False

            del self._flying[key]

            return True

    def __contains__(self, key: str) -> bool:
        return key in self._flying

    def __len__(self) -> int:
        return len(self._flying)
