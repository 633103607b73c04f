"""Live streams: parts that are sent again when something changed.

Before anything is sent again the whole of Django is asked again, as by a new request
with what the stream was opened with: session and token are read anew, middleware,
decorators, permissions and `get_parts()` run. Throttles do not: nobody asked twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import random
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.http import QueryDict, StreamingHttpResponse

from . import conf, frames, handler, hub, topics
from .live_sent import Sent
from .parts.part import Lazy, Part
from .parts.runner import stream
from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from .parts.plan import Plan
    from .parts.runner import Scope

__all__ = ("Checked", "Permitted", "follow", "is_check", "is_live", "is_wanted")

#: In the ASGI scope of a request that only asks what the caller may see.
CHECK = "django_partstream.live_check"

#: A live stream lasts for so many deadlines of an ordinary one: an hour by default.
DEADLINES = 12
#: Between a publish and the parts made again, so that more can come: at first, and at
#: most while publishes keep coming.
PAUSE_SECONDS = (0.1, 1.0)
#: Longer where making the parts takes longer, up to this.
MAX_PAUSE_SECONDS = 10.0
#: How long the work of an ended round may take to notice.
CLEANUP_SECONDS = 5.0

#: Of the first request's headers, what speaks of its own moment.
NOT_REPEATED = frozenset({b"last-event-id", b"range"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """What a caller may see now."""

    plan: Plan
    scope: Scope

    @property
    def user(self) -> Any:
        return getattr(self.scope.request.user, "pk", None)

    def parts(self, only: frozenset[str] | None) -> tuple[Part, ...]:
        return tuple(
            part for part in self.plan.parts if only is None or part.name in only
        )


class Checked(StreamingHttpResponse):
    """The answer to a check: no frames, only what they would be made of."""

    def __init__(self, permitted: Permitted) -> None:
        super().__init__(_nothing())
        self.permitted = permitted
        self.holds_request_thread = permitted.scope.holds_request_thread(
            filter(is_live, permitted.plan.parts)
        )
        self["Cache-Control"] = "no-store, no-transform"
        self["Content-Encoding"] = "identity"


async def _nothing() -> AsyncGenerator[bytes]:
    return
    yield  # makes it a generator


def is_wanted(request: Any) -> bool:
    """Whether the stream is to stay open for changes."""
    return bool(request.query_params.get("live") == "1")


def is_check(request: Any) -> bool:
    """Whether nothing is asked but what the caller may see: see `Checked`."""
    return CHECK in getattr(request._request, "scope", ())


def is_live(part: Part) -> bool:
    return isinstance(part.value, Lazy) and bool(part.value.topics)


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
        _scope_again(request.scope, query),
        permitted,
        only=only,
        deadline=deadline,
        refresh=refresh,
    )

    async with contextlib.aclosing(follower.run(first)) as producer:
        async for frame in producer:
            yield frame


class _Changes:
    """Topics that were published and not taken yet."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._arrived = asyncio.Event()

    def put(self, message: Mapping[str, Any], /) -> None:
        self._topics.add(message.get("topic", ""))
        self._arrived.set()

    async def wait(self, seconds: float) -> bool:
        """Whether one comes within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await self._arrived.wait()
        except TimeoutError:
            return False

    def take(self) -> frozenset[str]:
        taken, self._topics = frozenset(self._topics), set()
        self._arrived.clear()

        return taken

    @property
    def waiting(self) -> bool:
        return self._arrived.is_set()


class _Pace:
    """How long to wait for more after a publish: the longer, the more there is."""

    def __init__(self) -> None:
        self._seconds, self._most = PAUSE_SECONDS
        self._took = 0.0

    @property
    def pause(self) -> float:
        seconds = min(max(self._seconds, self._took), MAX_PAUSE_SECONDS)

        # Thousands may have heard of the same change at the same time.
        return seconds * random.uniform(0.5, 1.0)

    def made(self, *, seconds: float, busy: bool) -> None:
        """Parts were made again; `busy`: something was published meanwhile."""
        first, most = PAUSE_SECONDS
        self._seconds = min(2 * self._seconds, most) if busy else first
        self._took = seconds


class _RefusedError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


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
        self._changes = _Changes()
        self._sent = Sent()
        self._pace = _Pace()

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

            names = self._changes.take()
            everything = began >= refresh_at

            if everything:
                refresh_at = began + self._refresh * random.uniform(0.8, 1.0)

            again = self._again(None if everything else names, listening)

            async with contextlib.aclosing(_apart(again, self._context())) as round_:
                async for frame in round_:
                    yield frame

                    if isinstance(frame, frames.End):
                        return

            self._pace.made(seconds=now() - began, busy=self._changes.waiting)

    async def _again(
        self, names: frozenset[str] | None, listening: hub.Listening
    ) -> AsyncGenerator[frames.Frame]:
        """What has changed, of the parts that have one of these topics; None: of all.
        An `end` only where the stream ends with it."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                permitted = await self._check(stack)
            except _RefusedError as refused:
                yield self._sent.end("refused", refused.problem)
                return
            except TimeoutError:
                yield self._sent.end("deadline")
                return

            await listening.follow(self._groups(permitted))
            parts = permitted.parts(self._only)

            for name in self._sent.names - {part.name for part in parts}:
                yield self._sent.gone(name)

            due = [part for part in parts if self._is_due(part, names)]
            producer = stream(
                due, permitted.scope, sign=_owe_nothing, deadline=self._deadline
            )

            async with contextlib.aclosing(producer):
                async for frame in producer:
                    if isinstance(frame, frames.End) and frame.reason != "complete":
                        yield self._sent.end(frame.reason)

                    for changed in self._sent.changes(frame):
                        yield changed

    async def _check(self, stack: contextlib.AsyncExitStack) -> Permitted:
        async with asyncio.timeout(self._deadline), _turn():
            response = await stack.enter_async_context(
                handler.respond(
                    self._asgi_scope,
                    own_thread=not self._permitted.scope.in_transaction,
                )
            )

        if response.status_code != HTTPStatus.OK or not isinstance(response, Checked):
            raise _RefusedError(handler.problem_of_response(response))

        if response.permitted.user != self._permitted.user:
            raise _RefusedError(_ANOTHER_CALLER)

        return response.permitted

    def _is_due(self, part: Part, names: frozenset[str] | None) -> bool:
        if part.name not in self._sent.names:
            return True

        return is_live(part) and (
            names is None or not names.isdisjoint(part.value.topics)
        )

    def _groups(self, permitted: Permitted) -> set[str]:
        return {
            topics.group_of(topic)
            for part in filter(is_live, permitted.parts(self._only))
            for topic in part.value.topics
        }

    def _context(self) -> contextvars.Context:
        # A new request, with a thread of its own, unless it is to see the rows of a
        # transaction in the thread of the first.
        if self._permitted.scope.in_transaction:
            return contextvars.copy_context()

        return contextvars.Context()


_ANOTHER_CALLER = Problem(
    status=401,
    code="not_authenticated",
    detail="This stream was opened by somebody else than is signed in now.",
)


def _owe_nothing(_names: Iterable[str]) -> None:
    """A live stream that was cut is asked for again."""


def _scope_again(scope: Mapping[str, Any], query: str) -> dict[str, Any]:
    """The ASGI scope of the request that checks."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in NOT_REPEATED and not name.startswith(b"if-")
    ]

    return {**scope, "headers": headers, "query_string": query.encode(), CHECK: True}


_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
    weakref.WeakKeyDictionary()
)


def _turn() -> asyncio.Semaphore:
    """So many checks run at a time as sync parts do: each needs a connection."""
    loop = asyncio.get_running_loop()

    if loop not in _turns:
        _turns[loop] = asyncio.Semaphore(conf.current().threads)

    return _turns[loop]


async def _apart(
    producer: AsyncGenerator[frames.Frame], context: contextvars.Context
) -> AsyncGenerator[frames.Frame]:
    """The frames of a producer that runs in a task and a context of its own."""
    queue: asyncio.Queue[frames.Frame | _Over] = asyncio.Queue(1)
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
