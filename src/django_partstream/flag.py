"""An event that one task waits for."""

from __future__ import annotations

import asyncio

__all__ = ("Flag",)


class Flag:
    """`asyncio.Event`, at a tenth of its memory, for one task at a time: a stream on
    which nothing happens waits for several."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        self._is_set = False

    async def wait(self) -> None:
        """Return when it was set, be it cleared since. Raises RuntimeError where
        somebody else waits."""
        if self._is_set:
            return

        if self._waiter is not None:
            raise RuntimeError("Somebody else waits for this flag.")

        self._waiter = asyncio.get_running_loop().create_future()

        try:
            await self._waiter
        finally:
            self._waiter = None
