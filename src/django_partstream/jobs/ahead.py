"""One thing done ahead, in a thread, while its owner does another."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Ahead",)

T = TypeVar("T")


class Ahead(Generic[T]):
    """Does the same thing again and again, once ahead of whoever takes what it gives.

    `do` is called by one thread at a time. It must not use the database, for which
    the thread has no connection, and language and zone are not the owner's. What it
    raises is raised by `take`.
    """

    def __init__(self, do: Callable[[], T]) -> None:
        self._do = do
        self._thread: ThreadPoolExecutor | None = None
        self._future: Future[T] | None = None

    def begin(self) -> None:
        """Do it in the thread, unless it was begun since the last `take`."""
        if self._future is not None:
            return

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="partstream-ahead")

        self._future = self._thread.submit(self._do)

    def take(self) -> T:
        """What it gave. Where it was not begun, it is done here and now."""
        future, self._future = self._future, None

        return self._do() if future is None else future.result()

    def close(self) -> None:
        """End the thread, as soon as it has done what it does."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

        self._thread = self._future = None
