"""A time limit for what is awaited again and again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Patience",)


class Patience:
    """`asyncio.timeout`, at a fifth of its cost, for one task at a time.

    One timer serves all the waits: it is not moved when a wait begins or ends, but
    when it fires, and then only if somebody waits. A thousand sockets that are told
    something a few times a second would otherwise spend most of their time on timers
    that never fire. `close()` it in the end: the timer holds on to what it is for.
    """

    __slots__ = ("_ends_at", "_expired", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._ends_at = 0.0
        self._expired = False

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Raise TimeoutError where the scope takes longer."""
        task = asyncio.current_task()
        assert task is not None  # whatever awaits is in one
        cancelling = task.cancelling()
        self._expired = False
        self._task = task
        self._ends_at = self._loop.time() + seconds

        if self._timer is None or self._timer.when() > self._ends_at:
            self._arm()

        try:
            yield
        except asyncio.CancelledError as error:
            # Whoever else has cancelled the task means it.
            if self._expired and task.uncancel() <= cancelling:
                raise TimeoutError from error

            raise
        else:
            if self._expired:
                task.uncancel()
        finally:
            self._task = None

    def close(self) -> None:
        """Stop the timer, unless somebody still waits."""
        if self._timer is not None and self._task is None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

        self._timer = self._loop.call_at(self._ends_at, self._fire)

    def _fire(self) -> None:
        self._timer = None

        if self._task is None:
            return

        if self._loop.time() < self._ends_at:
            self._arm()
            return

        self._expired = True
        self._task.cancel()
