"""A plan becomes frames: every part in a task of one scope, out as it completes."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django_partstream import frames

from .feed import Feed
from .outbox import Lane, Outbox
from .outcome import Resolved, gone_problem
from .resolving import resolve, resolve_at_once
from .scope import Scope
from .value import is_ready

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .part import Part

__all__ = ("Resolved", "Scope", "gone_problem", "resolve_all", "stream")

logger = logging.getLogger(__name__)

#: The cursor that owes these names; None where nothing is owed.
Sign = Callable[[Iterable[str]], str | None]

#: How long the work of an ended stream may take to notice.
CLEANUP_SECONDS = 5.0


async def resolve_all(parts: Sequence[Part], scope: Scope) -> list[Resolved]:
    """Resolve these parts at once, lists as a whole; the results are in the order of
    `parts`."""
    there = {
        part.name: resolved
        for part in parts
        if is_ready(part) and (resolved := resolve_at_once(part, scope)) is not None
    }

    async with asyncio.TaskGroup() as group:
        slots = asyncio.Semaphore(scope.max_running)
        tasks = [
            group.create_task(_resolve_whole(part, scope, slots))
            for part in parts
            if part.name not in there
        ]

    there |= {task.result().name: task.result() for task in tasks}

    return [there[part.name] for part in parts]


async def _resolve_whole(
    part: Part, scope: Scope, slots: asyncio.Semaphore
) -> Resolved:
    async with slots:
        feed = Feed()
        resolved = await resolve(part, scope, feed)

    if resolved.count is None:
        return resolved

    return dataclasses.replace(resolved, data=feed.array(), count=None)


async def stream(
    parts: Sequence[Part],
    scope: Scope,
    *,
    sign: Sign,
    gone: Sequence[str] = (),
    deadline: float,
) -> AsyncGenerator[frames.Frame]:
    """The frames of these parts, from `start` to `end`.

    Values that are there leave before any lazy part is awaited, the others as they
    complete, and lists batch by batch. `gone` are names that a cursor owes and the
    view no longer has: each becomes an error with code `gone`. After `deadline`
    seconds unfinished work is cancelled and the stream ends with a cursor that owes
    it. Parts wait for a reader that does not ask for frames; closing the generator
    cancels all work. Raises nothing of the application's.
    """
    owed = dict.fromkeys(part.name for part in parts)
    ok = failed = 0
    reason: frames.EndReason = "complete"

    async with _Work(parts, scope, deadline) as work:
        yield frames.Start(parts=tuple(owed), cursor=sign(owed))

        for name in gone:
            failed += 1
            yield Resolved(name=name, ms=0.0, problem=gone_problem(name)).frame(
                sign(owed)
            )

        while owed:
            said = await work.take()

            if said is None:
                reason = "deadline"
                break

            if isinstance(said, frames.Items):
                yield said
            else:
                del owed[said.name]
                ok += said.problem is None
                failed += said.problem is not None
                yield said.frame(sign(owed))

            # It may be large, and the next one hours away.
            del said

        yield frames.End(ok=ok, failed=failed, cursor=sign(owed), reason=reason)


class _Work:
    """The tasks of one stream. They end when this scope ends, whatever happens."""

    __slots__ = (
        "_begun",
        "_deadline",
        "_first",
        "_later",
        "_ready",
        "_scope",
        "_slots",
        "_tasks",
        "_then",
        "_timer",
    )

    def __init__(self, parts: Sequence[Part], scope: Scope, deadline: float) -> None:
        self._scope = scope
        self._deadline = deadline
        self._slots = asyncio.Semaphore(scope.max_running)
        self._ready = [part for part in parts if is_ready(part)]
        self._later = [part for part in parts if not is_ready(part)]
        #: Of those that are ready, how many are not plain data and not taken yet.
        self._begun = 0
        self._first, self._then = Outbox(), Outbox()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> _Work:
        self._start(self._later, self._then)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._deadline, self._close)

        return self

    async def __aexit__(self, *exception: object) -> None:
        self._timer.cancel()

        for task in self._tasks:
            task.cancel()

        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLEANUP_SECONDS)

            if late:
                logger.warning(
                    "%d parts of an ended stream do not end when cancelled", len(late)
                )

    def _start(self, parts: Sequence[Part], outbox: Outbox) -> None:
        self._tasks |= {
            asyncio.create_task(self._run(part, Lane(part.name, outbox)))
            for part in parts
        }

    async def _run(self, part: Part, lane: Lane) -> None:
        # `start` leaves first: it need not wait for what the work begins with.
        await asyncio.sleep(0)

        # Until its result is on its way, so that a slow reader holds few of them.
        async with self._slots:
            await lane.end(await resolve(part, self._scope, lane.feed))

    async def take(self) -> frames.Items | Resolved | None:
        """The next thing that a part says; None after the deadline."""
        while self._ready:
            part = self._ready.pop(0)
            resolved = resolve_at_once(part, self._scope)

            if resolved is not None:
                return resolved

            self._start([part], self._first)
            self._begun += 1

        if not self._begun:
            return await self._then.take()

        said = await self._first.take()

        # What is to be awaited may turn out to be a list.
        if isinstance(said, Resolved):
            self._begun -= 1

        return said

    def _close(self) -> None:
        self._first.close()
        self._then.close()
