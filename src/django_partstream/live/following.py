"""Live streams: parts that are sent again when something changed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import random
import time
from typing import TYPE_CHECKING

from django.http import QueryDict

from django_partstream import frames, hub, topics
from django_partstream.parts.caching import not_older_than
from django_partstream.parts.runner import stream

from .changes import Changes, Due, Pace
from .checking import (
    ANOTHER_CALLER,
    Permitted,
    RefusedError,
    check,
    is_live,
    scope_again,
)
from .sent import Sent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from typing import Any

__all__ = ("follow",)

#: A live stream lasts for so many deadlines of an ordinary one: an hour by default.
DEADLINES = 12
#: How long the work of an ended round may take to notice.
CLEANUP_SECONDS = 5.0


async def follow(
    first: AsyncGenerator[frames.Frame],
    permitted: Permitted,
    *,
    query: str,
    deadline: float,
    refresh: float,
) -> AsyncGenerator[frames.Frame]:
    """The frames of `first`, then `live`, then those of parts that have changed.

    The topics of the plan are joined before `first` begins, so that no change is
    missed. After a publish of one of its topics, and every `refresh` seconds, a part is
    made again, if the caller may still see it, and sent if it is another. What was
    published while that went on is made once more. `query` is what the first request
    asked, and is asked again.

    Ends with `deadline` after `DEADLINES` times `deadline` seconds, with `refused` and
    a problem when the caller may not see this any more, and whenever `first` ends other
    than with `complete`. Closing the generator ends all work.
    """
    request = permitted.scope.request._request
    # A part that comes later is sent too, unless only some were asked for.
    asked = "parts" in QueryDict(query)
    only = frozenset(permitted.plan.names) if asked else None
    follower = _Follower(
        scope_again(request.scope, query),
        permitted,
        only=only,
        deadline=deadline,
        refresh=refresh,
    )

    async with contextlib.aclosing(follower.run(first)) as producer:
        async for frame in producer:
            yield frame
            del frame


class _Follower:
    """One live stream."""

    def __init__(
        self,
        asgi_scope: dict[str, Any],
        permitted: Permitted,
        *,
        only: frozenset[str] | None,
        deadline: float,
        refresh: float,
    ) -> None:
        self._asgi_scope = asgi_scope
        self._permitted = permitted
        self._only = only
        self._deadline = deadline
        self._refresh = refresh
        self._changes = Changes()
        self._sent = Sent()
        self._pace = Pace()

    async def run(
        self, first: AsyncGenerator[frames.Frame]
    ) -> AsyncGenerator[frames.Frame]:
        async with hub.listening(self._changes) as listening:
            await listening.follow(self._groups(self._permitted))

            async with contextlib.aclosing(first):
                async for frame in first:
                    self._sent.note(frame)
                    end = frame

                    if not isinstance(frame, frames.End):
                        yield frame

            if isinstance(end, frames.End) and end.reason != "complete":
                yield end
                return

            yield frames.Live()

            async with contextlib.aclosing(self._changed(listening)) as changed:
                async for frame in changed:
                    yield frame
                    # It may be large, and the next one hours away.
                    del frame

    async def _changed(self, listening: hub.Listening) -> AsyncGenerator[frames.Frame]:
        now = asyncio.get_running_loop().time
        ends_at = now() + DEADLINES * self._deadline * random.uniform(0.9, 1.0)
        refresh_at = now() + self._refresh

        while True:
            if await self._changes.wait(min(refresh_at, ends_at) - now()):
                await asyncio.sleep(self._pace.pause)

            began = now()

            if began >= ends_at:
                yield self._sent.end("deadline")
                return

            due = self._changes.take()

            if began >= refresh_at:
                due = Due(topics=None, since=max(due.since, self._refreshed()))
                refresh_at = began + self._refresh * random.uniform(0.8, 1.0)

            again = _apart(self._again(due, listening))

            async with contextlib.aclosing(again) as round_:
                async for frame in round_:
                    yield frame

                    if isinstance(frame, frames.End):
                        return

            self._pace.made(seconds=now() - began, busy=self._changes.waiting)

    def _refreshed(self) -> float:
        """Since when a value must have been made, to count as refreshed. The same for
        all streams for a while, so that they can share what they cache."""
        return time.time() // self._refresh * self._refresh

    async def _again(
        self, due: Due, listening: hub.Listening
    ) -> AsyncGenerator[frames.Frame]:
        """What has changed, of what is due. An `end` only where the stream ends with
        it."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(not_older_than(due.since))

            try:
                async with asyncio.timeout(self._deadline):
                    permitted = await check(self._asgi_scope, stack)

                if permitted.user != self._permitted.user:
                    raise RefusedError(ANOTHER_CALLER)  # noqa: TRY301
            except RefusedError as refused:
                yield self._sent.end("refused", refused.problem)
                return
            except TimeoutError:
                yield self._sent.end("deadline")
                return

            await listening.follow(self._groups(permitted))
            parts = permitted.parts(self._only)

            for name in self._sent.names - {part.name for part in parts}:
                yield self._sent.gone(name)

            known = self._sent.names
            producer = stream(
                [part for part in parts if part.name not in known or due.has(part)],
                permitted.scope,
                sign=_owe_nothing,
                deadline=self._deadline,
            )

            async with contextlib.aclosing(producer):
                async for frame in producer:
                    if isinstance(frame, frames.End) and frame.reason != "complete":
                        yield self._sent.end(frame.reason)

                    for changed in self._sent.changes(frame):
                        yield changed

    def _groups(self, permitted: Permitted) -> set[str]:
        return {
            topics.group_of(topic)
            for part in filter(is_live, permitted.parts(self._only))
            for topic in part.value.topics
        }


def _owe_nothing(_names: Iterable[str]) -> None:
    """A live stream that was cut is asked for again."""


async def _apart(
    producer: AsyncGenerator[frames.Frame],
) -> AsyncGenerator[frames.Frame]:
    """The frames of a producer that runs in a task and a context of its own: as a new
    request it has a thread of its own, and nothing of what the first has set."""
    queue: asyncio.Queue[frames.Frame | _Over] = asyncio.Queue(1)
    context = contextvars.Context()
    task = asyncio.create_task(_pump(producer, queue), context=context)

    try:
        while not isinstance(item := await queue.get(), _Over):
            yield item

        if item.error is not None:
            raise item.error
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=CLEANUP_SECONDS)


@dataclasses.dataclass(frozen=True, slots=True)
class _Over:
    error: Exception | None


async def _pump(
    producer: AsyncGenerator[frames.Frame], queue: asyncio.Queue[frames.Frame | _Over]
) -> None:
    error: Exception | None = None

    try:
        async with contextlib.aclosing(producer):
            async for frame in producer:
                await queue.put(frame)
    except Exception as raised:
        error = raised

    await queue.put(_Over(error))
