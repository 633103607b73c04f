"""Where one follower of a group waits for its newest message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_partstream.frames import Rest

__all__ = ("Mailbox", "Taken")

#: What became of a message that `Mailbox.take` was offered. True: it was taken; False:
#: it is to be read as any other; what is left to do, by whoever waits, where that takes
#: its time.
Taken: TypeAlias = "Rest | bool"


class Mailbox:
    """Holds the newest message of a group; a newer one replaces an unread one.

    Thousands may wait in theirs for the same message, so that a wait costs little: one
    timer serves all waits of a mailbox, and is only set anew when it goes off; and
    `take` may have what comes while somebody waits, without waking them.
    """

    __slots__ = (
        "_ends_at",
        "_loop",
        "_message",
        "_rest",
        "_seconds",
        "_timer",
        "_waiter",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._message: Mapping[str, Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seconds: float | None = None
        self._ends_at = 0.0
        #: What `take` has left to whoever waits.
        self._rest: Rest | None = None

    def take(self, message: Mapping[str, Any]) -> Taken:
        """For a kind of mailbox to override: asked first, for every message that comes
        while somebody waits."""
        return False

    def put(self, message: Mapping[str, Any]) -> None:
        waiter = self._waiter

        # One that is done was woken, and is about to read.
        if waiter is not None and not waiter.done():
            taken = self.take(message)

            if taken is True:
                if self._seconds is not None:
                    self._ends_at = self._loop.time() + self._seconds

                return

            waiter.set_result(None)

            if taken is not False:
                self._rest = taken
                return

        self._message = message

    async def get(self, seconds: float | None = None) -> Mapping[str, Any] | None:
        """The newest message, each at most once; None when none came in `seconds`,
        where there is a limit. One at a time may wait."""
        while self._message is None:
            await self._wait(seconds)

            if self._rest is None:
                break

            # Messages that come meanwhile are kept: whoever waits is not there.
            rest, self._rest = self._rest, None
            await rest

        message, self._message = self._message, None

        return message

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()

    async def _wait(self, seconds: float | None) -> None:
        self._waiter = self._loop.create_future()
        self._seconds = seconds

        if seconds is not None:
            self._ends_at = self._loop.time() + seconds

            # One that goes off later would be late.
            if self._timer is None or self._timer.when() > self._ends_at:
                self._set_timer()

        try:
            await self._waiter
        except BaseException:
            # There is nobody to do it.
            if self._rest is not None:
                self._rest.close()
                self._rest = None

            raise
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

        self._timer = self._loop.call_at(self._ends_at, self._goes_off)

    def _goes_off(self) -> None:
        self._timer = None

        # Whoever waits without a limit may have waited with one before.
        if self._waiter is None or self._waiter.done() or self._seconds is None:
            return

        if self._loop.time() >= self._ends_at:
            self._waiter.set_result(None)
        else:
            self._set_timer()
