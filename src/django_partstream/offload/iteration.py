"""Sync iterables, iterated off the loop: items on their way from a thread to a loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .call import is_inside
from .process import run_long, run_sync
from .runner import RunSync, current_runner

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

__all__ = ("iterate", "iterate_here")

P = ParamSpec("P")
T = TypeVar("T")

#: Items that are made ahead of a slow consumer.
WAITING = 2
#: How long a thread that was stopped between two items may take to clean up.
CLOSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


async def iterate(
    fn: Callable[..., Iterable[T]], /, *args: Any, waiting: int = WAITING
) -> AsyncGenerator[T]:
    """Call `fn` in one thread of ours, which iterates what it returns, and yield the
    items here.

    The whole iteration stays in that thread, since a database's cursor belongs to its
    thread and connection; so it takes one of `THREADS` as long as it lasts, and no more
    than half of them iterate at a time, so that slow readers leave threads to others.
    At most `waiting` items are made ahead; then the thread waits. What `fn`
    or the iterable raises is raised here, after the items before it. Closing this
    generator or cancelling its consumer stops the thread at the latest before its
    next item (a running statement is ended, see `run_sync`), closes a sync generator in
    its thread and gives the connection back.

    Each item costs a hop, so let them be batches. Reached from a thread of ours, each
    item is made in that one, when it is asked for.
    """
    # A thread of ours that waits for us, held by an iteration, could not serve the
    # other calls that the consumer makes between two items.
    items = _pulled(run_sync, fn, args) if is_inside() else _pushed(fn, args, waiting)

    async with contextlib.aclosing(items):
        async for item in items:
            yield item


async def iterate_here(
    fn: Callable[..., Iterable[T]], /, *args: Any, waiting: int = WAITING
) -> AsyncGenerator[T]:
    """Iterate in the way of the surrounding part, as `run_here` calls: by `iterate`,
    or in the thread of the request where the part must see its transaction.

    There each item is made when it is asked for, so that other parts have their turn
    in between.
    """
    run = current_runner()
    items = (
        iterate(fn, *args, waiting=waiting)
        if run is run_sync
        else _pulled(run, fn, args)
    )

    async with contextlib.aclosing(items):
        async for item in items:
            yield item


_END = object()


async def _pulled(
    run: RunSync, fn: Callable[..., Iterable[T]], args: tuple[Any, ...]
) -> AsyncGenerator[T]:
    iterator: Iterator[T] = await run(_begin, fn, args)

    try:
        while (item := await run(next, iterator, _END)) is not _END:
            yield cast("T", item)
    finally:
        await run(_close, iterator)


async def _pushed(
    fn: Callable[..., Iterable[T]], args: tuple[Any, ...], waiting: int
) -> AsyncGenerator[T]:
    handover: _Handover[T] = _Handover(waiting)
    thread = asyncio.create_task(run_long(_push, fn, args, handover))
    thread.add_done_callback(handover.wake)

    try:
        while True:
            while handover:
                yield handover.take()

            if thread.done() and not handover:
                thread.result()
                return

            await handover.wait()
    finally:
        if not thread.done():
            await _stop(thread, handover)


async def _stop(thread: asyncio.Task[None], handover: _Handover[Any]) -> None:
    if handover.stop():
        thread.cancel()

    # Stopped while it waited for room: it closes its iterator, at leisure.
    await asyncio.wait([thread], timeout=CLOSE_SECONDS)

    if not thread.done():
        thread.cancel()
    elif not thread.cancelled() and (error := thread.exception()) is not None:
        logger.warning("an iteration failed when it was stopped", exc_info=error)


def _push(
    fn: Callable[..., Iterable[T]], args: tuple[Any, ...], handover: _Handover[T]
) -> None:
    iterator = _begin(fn, args)

    try:
        for item in iterator:
            if not handover.put(item):
                break
    finally:
        _close(iterator)


def _begin(fn: Callable[..., Iterable[T]], args: tuple[Any, ...]) -> Iterator[T]:
    return iter(fn(*args))


def _close(iterator: Iterator[Any]) -> None:
    close = getattr(iterator, "close", None)

    if close is not None:
        close()


class _Handover(Generic[T]):
    """At most `size` items between the thread that makes them and its loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._stopped = False
        #: The thread is at work on an item, and not waiting for room.
        self._busy = True
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._items)

    def put(self, item: T) -> bool:
        """In the thread: wait for room and put it in. False when stopped."""
        with self._changed:
            self._busy = False

            while len(self._items) >= self._size and not self._stopped:
                self._changed.wait()

            if self._stopped:
                return False

            self._busy = True
            self._items.append(item)

        self._loop.call_soon_threadsafe(self._ready.set)

        return True

    def take(self) -> T:
        with self._changed:
            self._changed.notify()

            return self._items.popleft()

    async def wait(self) -> None:
        """Until `put` or `wake`."""
        await self._ready.wait()
        self._ready.clear()

    def wake(self, _: object) -> None:
        self._ready.set()

    def stop(self) -> bool:
        """No more items. Whether the thread is at work on one, or has ended."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

            return self._busy
