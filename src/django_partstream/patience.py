"""A time limit for what is awaited again and again."""

from __future__ import annotations

import asyncio
from typing import Self

__all__ = ("Patience",)


class Patience:
    """`asyncio.timeout`, at a fifth of its cost, for one task at a time.

    One timer serves all the waits: it is not moved when a wait begins or ends, but
    when it fires, and then only if somebody waits. A thousand sockets that are told
    something a few times a second would otherwise spend most of their time on timers
    that never fire. `close()` it in the end: the timer holds on to what it is for.
    """

    __slots__ = ("_cancelling", "_ends_at", "_expired", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._ends_at = 0.0
        self._expired = False

    def limit(self, seconds: float) -> Self:
        """Raise TimeoutError where the scope that is entered with this takes longer."""
        task = asyncio.current_task()
        assert task is not None  # whatever awaits is in one
        self._cancelling = task.cancelling()
        self._expired = False
        self._task = task
        self._ends_at = self._loop.time() + seconds

        if self._timer is None or self._timer.when() > self._ends_at:
            self._arm()

        return self

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        task, self._task = self._task, None

        if not self._expired:
            return

        assert task is not None  # it was set with the limit
        others = task.uncancel()

        # Whoever else has cancelled the task means it.
        if kind is asyncio.CancelledError and others <= self._cancelling:
            raise TimeoutError from error

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
