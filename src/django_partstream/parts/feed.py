"""The items of one list, between whoever makes them and whoever sends them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from typing import TYPE_CHECKING

from django_partstream.encoding import Encoded
from django_partstream.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("MAX_BYTES", "MAX_ITEMS", "Batch", "Feed")

#: Of a batch; a single item may exceed the bytes.
MAX_BYTES = 64 * 1024
MAX_ITEMS = 1_000
#: Batches that wait, before whoever makes the items waits; it goes on at half.
MAX_WAITING = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some items, encoded one behind the other with commas between."""

    text: bytes
    count: int

    def array(self) -> Encoded:
        return Encoded(b"[%b]" % self.text)


class Feed:
    """Encoded items, put in by any thread and taken on the loop, batch by batch.

    What waits when it is taken goes out as one batch, however little it is, so that
    no item waits for a further one; what waits for longer is cut into batches of
    bounded size. Without `tell` all of them are kept for `array`.
    """

    __slots__ = (
        "_batches",
        "_lock",
        "_loop",
        "_loop_thread",
        "_room",
        "_tell",
        "_text_bytes",
        "_text_items",
        "_texts",
        "_told",
        "count",
        "limit",
        "waited",
    )

    def __init__(self, tell: Callable[[], None] | None = None) -> None:
        #: Items that were put in.
        self.count = 0
        #: Seconds that whoever makes the items has waited for their reader.
        self.waited = 0.0
        #: Stands still meanwhile: a slow reader is not the fault of the part.
        self.limit: asyncio.Timeout | None = None
        #: Called on the loop when something is there to be taken.
        self._tell = tell
        self._told = tell is None
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._room = Flag()
        self._lock = threading.Lock()
        self._batches: list[Batch] = []
        self._texts: list[bytes] = []
        self._text_bytes = 0
        self._text_items = 0

    @property
    def full(self) -> bool:
        """Whether `room` is to be awaited before more is made."""
        return self._tell is not None and len(self._batches) >= MAX_WAITING

    def put(self, text: bytes, count: int) -> None:
        """Put in `count` items, encoded with commas between."""
        with self._lock:
            size = self._text_bytes + len(text) + 1

            if size > MAX_BYTES or self._text_items + count > MAX_ITEMS:
                self._cut()
                size = len(text) + 1

            self._texts.append(text)
            self._text_bytes = size
            self._text_items += count
            self.count += count

            told, self._told = self._told, True

        if told or self._tell is None:
            return

        if threading.get_ident() == self._loop_thread:
            self._tell()
        else:
            self._loop.call_soon_threadsafe(self._tell)

    def take(self) -> Batch | None:
        """The next batch, without waiting. `tell` is called for what comes after a
        None, and not before one."""
        with self._lock:
            if not self._batches:
                self._cut()

            batch = self._batches.pop(0) if self._batches else None
            self._told = batch is not None

            if len(self._batches) <= MAX_WAITING // 2:
                self._room.set()

        return batch

    async def room(self) -> None:
        """Wait until it is no longer full."""
        if self.full:
            with self._standing_still():
                while self.full:
                    self._room.clear()
                    await self._room.wait()

    @contextlib.contextmanager
    def _standing_still(self) -> Iterator[None]:
        started = self._loop.time()
        ends_at = self.limit.when() if self.limit else None

        if self.limit and ends_at is not None:
            self.limit.reschedule(None)

        try:
            yield
        finally:
            waited = self._loop.time() - started
            self.waited += waited

            if self.limit and ends_at is not None:
                self.limit.reschedule(ends_at + waited)

    def array(self) -> Encoded:
        """All that was put in and not taken."""
        self._cut()

        return Encoded(b"[%b]" % b",".join(batch.text for batch in self._batches))

    def _cut(self) -> None:
        if self._texts:
            text = b",".join(self._texts)
            self._batches.append(Batch(text=text, count=self._text_items))
            self._texts = []
            self._text_bytes = self._text_items = 0
