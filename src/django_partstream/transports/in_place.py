"""Awaitables that are begun where they are made, without waking the task that would
have awaited them."""

from __future__ import annotations

import asyncio
import functools
from asyncio.tasks import _enter_task, _leave_task
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Awaitable, Callable, Generator

__all__ = ("Rest", "Waiting")

_DONE = object()


class Waiting:
    """A task that waits, in whose name something is done meanwhile."""

    __slots__ = ("_context", "_loop", "_task")

    def __init__(self, task: asyncio.Task[Any], context: contextvars.Context) -> None:
        """`context` is the one that the task runs in."""
        self._task = task
        self._context = context
        self._loop = task.get_loop()

    def begin(self, made: Awaitable[object]) -> Rest | None:
        """Run `made` as far as it goes without waiting, as if the task had awaited it:
        its context and `asyncio.current_task()` are that task's.

        None where that was all, else the rest, for that task. Raises what `made`
        raises.
        """
        steps = made.__await__()
        loop, task = self._loop, self._task
        current = asyncio.current_task(loop)

        if current is not None:
            _leave_task(loop, current)

        _enter_task(loop, task)

        try:
            waits_for = self._context.run(next, steps, _DONE)
        finally:
            _leave_task(loop, task)

            if current is not None:
                _enter_task(loop, current)

        return None if waits_for is _DONE else Rest(steps, waits_for)


class Rest:
    """What is left of an awaitable that was begun: to be awaited, or closed."""

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, steps: Generator[Any, Any, object], waits_for: Any) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def close(self) -> None:
        self._steps.close()

    def __await__(self) -> Generator[Any, Any, None]:
        go_on: Callable[[], Any]

        while True:
            try:
                # What `steps` has given to whoever drives it, the event loop.
                yield self._waits_for
            except GeneratorExit:
                self.close()
                raise
            except BaseException as error:
                go_on = functools.partial(self._steps.throw, error)
            else:
                go_on = functools.partial(next, self._steps)

            try:
                self._waits_for = go_on()
            except StopIteration:
                return
