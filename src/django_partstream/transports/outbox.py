"""What was made and has not been sent yet, bounded."""

from __future__ import annotations

import asyncio

from django_partstream.flag import Flag

__all__ = ("MAX_BYTES", "WRITE_BYTES", "Outbox")

#: A producer waits when so much waits for the client, whatever the number of frames.
MAX_BYTES = 256 * 1024
#: Frames that are ready at once share a write of this size, which is how much Django
#: gives a server at once.
WRITE_BYTES = 64 * 1024


class Outbox:
    """Encoded frames between one producer and one client.

    Holds at most `max_frames`, and at most `MAX_BYTES` unless one frame alone is
    larger.
    """

    __slots__ = (
        "_changed",
        "_closed",
        "_max_frames",
        "_size",
        "_taken",
        "_waiting",
    )

    def __init__(self, max_frames: int) -> None:
        self._max_frames = max_frames
        self._waiting: list[bytes] = []
        self._size = 0
        self._closed = False
        self._changed = Flag()
        self._taken = Flag()

    @property
    def is_ready(self) -> bool:
        """Whether `take` need not wait."""
        return bool(self._waiting) or self._closed

    async def is_ready_within(self, seconds: float) -> bool:
        """Wait until `take` need not, for as long at most: as `asyncio.timeout` would,
        in less time and memory."""
        if not self.is_ready:
            self._changed.clear()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(seconds, self._changed.set)

            try:
                await self._changed.wait()
            finally:
                timer.cancel()

        return self.is_ready

    async def put(self, block: bytes) -> None:
        """Add to it, as soon as there is room. What comes after `close` is dropped."""
        while self._is_full(block) and not self._closed:
            self._taken.clear()
            await self._taken.wait()

        if not self._closed:
            self._waiting.append(block)
            self._size += len(block)
            self._changed.set()

    async def take(self) -> bytes:
        """What waits, as one block of `WRITE_BYTES` or one frame; waits for it if need
        be. Empty when the outbox was closed and has nothing left."""
        while not self.is_ready:
            self._changed.clear()
            await self._changed.wait()

        blocks: list[bytes] = []
        size = 0

        while self._waiting and (
            not blocks or size + len(self._waiting[0]) <= WRITE_BYTES
        ):
            blocks.append(self._waiting.pop(0))
            size += len(blocks[-1])

        self._size -= size
        self._taken.set()

        return b"".join(blocks)

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._changed.set()
        self._taken.set()

    def discard(self) -> None:
        """Close it, and forget what waits."""
        self._waiting.clear()
        self._size = 0
        self.close()

    def _is_full(self, block: bytes) -> bool:
        if not self._waiting:
            return False

        return (
            len(self._waiting) >= self._max_frames
            or self._size + len(block) > MAX_BYTES
        )
