"""Many streams over one socket, in the framing of graphql-transport-ws.

PROTOCOL section 5. What a subscription is made of comes through `open`; nothing here
knows of requests, views or URLs.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from channels.consumer import AsyncConsumer
from django.conf import settings

from django_partstream import conf, frames
from django_partstream.problems import Problem

from . import shutdown
from . import socket_messages as messages
from .in_place import Waiting
from .socket_messages import CloseError
from .socket_writer import GoneError, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

__all__ = ("Open", "PartStreamConsumer", "RefusedError", "Subscription")

logger = logging.getLogger(__name__)

#: Headers of `connection_init` that count, beside those that SOCKET_HEADERS names.
HEADERS = frozenset({"authorization", "accept-language"})
#: How long the work of a closed socket may take to notice.
CLEANUP_SECONDS = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What a client asked to follow, and what it came with."""

    #: Of the handshake.
    scope: Mapping[str, Any]
    #: Those of `connection_init` that count, names in lower case.
    headers: Mapping[str, str]
    url: str
    cursor: str | None
    live: bool


class RefusedError(Exception):
    """A subscription was refused before its first frame."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


#: Opens a subscription, or raises RefusedError. The work ends with the scope.
Open: TypeAlias = """Callable[
    [Subscription], AbstractAsyncContextManager[AsyncGenerator[frames.Frame]]
]"""


class PartStreamConsumer(AsyncConsumer):  # type: ignore[misc]
    """The ASGI application for one socket; see `as_asgi(open=...)`.

    It reads its socket itself: the dispatch of Channels handles one message at a time,
    each by way of a thread that all sockets of a process share. It takes no channel
    of the layer either.
    """

    open: Open

    def __init__(self, *, open: Open | None = None) -> None:  # noqa: A002
        if open is not None:
            self.open = open

    async def __call__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
    ) -> None:
        await _Socket(scope, receive, send, self.open).run()


_INIT_TIMEOUT = (4408, "No connection_init came in time.")
_RESTART = (1012, "The server restarts.")


class _Socket:
    """One socket: its reader, and a task for each subscription."""

    def __init__(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        send: Callable[[Mapping[str, Any]], Awaitable[None]],
        open_subscription: Open,
    ) -> None:
        self._settings = conf.current()
        self._scope = scope
        self._receive = receive
        self._writer = Writer(send, self._settings.send_timeout_seconds)
        self._open = open_subscription
        #: None until `connection_init`.
        self._headers: dict[str, str] | None = None
        self._by_id: dict[str, asyncio.Task[None]] = {}
        #: Every task of this socket that has not ended, cancelled ones included.
        self._tasks: set[asyncio.Task[None]] = set()
        #: Those that send frames, and so say goodbye themselves.
        self._streaming: set[asyncio.Task[None]] = set()
        self._heart: asyncio.Task[None] | None = None
        self._reading: asyncio.Timeout | None = None
        #: Why reading was stopped, where somebody else than the reader did.
        self._stopped: GoneError | CloseError | None = None

    async def run(self) -> None:
        if not await self._accept():
            return

        restart = CloseError(*_RESTART)

        try:
            with shutdown.current().watch(lambda: self._stop(restart)):
                reason = await self._listen()

                if reason is restart:
                    await self._let_streams_end()

                self._cancel(self._tasks)

                if isinstance(reason, CloseError):
                    await self._writer.close(reason.code, reason.reason)
        finally:
            await self._end_tasks()

    async def _accept(self) -> bool:
        event = await self._receive()

        if event["type"] != "websocket.connect":
            return False

        try:
            await self._writer.accept(messages.negotiate(self._scope))
        except (GoneError, CloseError):
            return False

        return True

    async def _listen(self) -> GoneError | CloseError:
        """Read until the peer leaves or must be sent away, and say which."""
        if self._stopped is not None:
            return self._stopped

        try:
            async with asyncio.timeout(self._settings.init_timeout_seconds) as reading:
                self._reading = reading
                await self._read()
        except (GoneError, CloseError) as reason:
            return reason
        except TimeoutError:
            if not reading.expired():
                raise

            return self._stopped or CloseError(*_INIT_TIMEOUT)
        finally:
            self._reading = None

        return GoneError()

    async def _read(self) -> None:
        while True:
            event = await self._receive()

            if event["type"] == "websocket.disconnect":
                return

            await self._handle(messages.parse(event))
            # A peer with much to say must not keep the loop to itself.
            await asyncio.sleep(0)

    def _stop(self, reason: GoneError | CloseError) -> None:
        """End the reading, from any task of this socket."""
        if self._stopped is not None:
            return

        self._stopped = reason

        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def _handle(self, message: messages.Message) -> None:
        match message:
            case messages.ConnectionInit():
                await self._init(message)
            case messages.Subscribe():
                await self._subscribe(message)
            case messages.Complete():
                task = self._by_id.pop(message.id, None)
                self._cancel({task} if task else set())
            case messages.Ping():
                await self._writer.write(messages.pong(message.payload))
            case messages.Pong():
                pass

    async def _init(self, message: messages.ConnectionInit) -> None:
        if self._headers is not None:
            raise CloseError(4429, "connection_init came a second time.")

        allowed = HEADERS | {name.lower() for name in self._settings.socket_headers}
        self._headers = messages.counted(message.headers, allowed)

        # Unless the reading is being stopped for another reason.
        if self._reading is not None and self._stopped is None:
            self._reading.reschedule(None)

        self._heart = asyncio.create_task(self._beat())
        await self._writer.write(messages.CONNECTION_ACK)

    async def _subscribe(self, message: messages.Subscribe) -> None:
        if self._headers is None:
            raise CloseError(4401, "subscribe came before connection_init.")

        if message.id in self._by_id:
            raise CloseError(4409, f"The id {message.id!r} is in use.")

        # Cancelled work counts until it has ended, or it could be piled up.
        if len(self._tasks) >= self._settings.subscriptions_per_socket:
            await self._writer.write(messages.error(message.id, self._too_many()))
            return

        subscription = Subscription(
            scope=self._scope,
            headers=self._headers,
            url=message.url,
            cursor=message.cursor,
            live=message.live,
        )
        context = contextvars.copy_context()
        task = asyncio.create_task(
            self._follow(message.id, subscription, context), context=context
        )
        self._by_id[message.id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(
        self, identifier: str, subscription: Subscription, context: contextvars.Context
    ) -> None:
        try:
            last = await self._stream(identifier, subscription, context)

            if last is not None:
                await self._writer.write(last)
        except (GoneError, CloseError) as reason:
            self._stop(reason)

    async def _stream(
        self, identifier: str, subscription: Subscription, context: contextvars.Context
    ) -> str | None:
        """Send the frames; say how to close the subscription, if at all.

        The id is free when this returns: a client may use it again as soon as it has
        read the closing message.
        """
        task = asyncio.current_task()
        assert task is not None  # whatever awaits is in one

        try:
            async with self._open(subscription) as producer:
                self._streaming.add(task)
                task.add_done_callback(self._streaming.discard)
                end = await self._forward(identifier, producer, Waiting(task, context))
        except RefusedError as refused:
            return messages.error(identifier, refused.problem)
        except (GoneError, CloseError):
            raise
        except Exception as error:
            # What follows the path may be nobody's business.
            path = subscription.url.partition("?")[0]
            logger.exception("a subscription to %.200r failed", path)
            return messages.error(identifier, _failed(error))
        finally:
            if self._by_id.get(identifier) is task:
                del self._by_id[identifier]

        if end is not None and end.reason == "shutdown":
            return None

        if end is not None and end.error is not None:
            return messages.error(identifier, end.error)

        return messages.complete(identifier)

    async def _forward(
        self,
        identifier: str,
        producer: AsyncGenerator[frames.Frame],
        waiting: Waiting,
    ) -> frames.End | None:
        end: frames.End | None = None
        next_ = messages.Next(identifier)

        if isinstance(producer, frames.Pushing):
            producer.push_to(_Push(self._writer, next_, waiting))

        async with shutdown.Watched(producer) as stream:
            async for frame in stream:
                # A socket has a ping of its own.
                if not isinstance(frame, frames.Ping):
                    await self._writer.write(next_.message(frame))

                if isinstance(frame, frames.End):
                    end = frame

                # It may be large, and the next one hours away.
                del frame
                # Frames that are there already must not keep the loop to themselves.
                await asyncio.sleep(0)

        return end

    async def _beat(self) -> None:
        """Keep proxies from closing a socket on which nothing happens."""
        seconds = self._settings.heartbeat_seconds

        try:
            while True:
                if (left := seconds - self._writer.quiet_seconds) > 0:
                    await asyncio.sleep(left)
                else:
                    await self._writer.write(messages.PING)
        except (GoneError, CloseError) as reason:
            self._stop(reason)

    async def _let_streams_end(self) -> None:
        self._cancel(self._tasks - self._streaming)

        if self._streaming:
            await asyncio.wait(self._streaming, timeout=shutdown.GRACE_SECONDS)

    def _cancel(self, tasks: set[asyncio.Task[None]]) -> None:
        # Only once: a second time would interrupt the clean-up of the first.
        for task in tasks:
            if not task.cancelling():
                task.cancel()

    async def _end_tasks(self) -> None:
        tasks = self._tasks | ({self._heart} if self._heart else set())
        self._cancel(tasks)

        if tasks:
            _, running = await asyncio.wait(tasks, timeout=CLEANUP_SECONDS)

            if running:
                logger.warning(
                    "%d subscriptions of a closed socket are still at work",
                    len(running),
                )

    def _too_many(self) -> Problem:
        limit = self._settings.subscriptions_per_socket

        return Problem(
            status=429,
            code="too_many_subscriptions",
            detail=f"A socket carries at most {limit} subscriptions at a time.",
        )


class _Push:
    """Writes the frames of one subscription without waking its task."""

    __slots__ = ("_next", "_waiting", "_writer")

    def __init__(self, writer: Writer, next_: messages.Next, waiting: Waiting) -> None:
        self._writer = writer
        self._next = next_
        self._waiting = waiting

    def __call__(self, frame: frames.Frame) -> frames.Rest | None:
        text = self._next.message(frame)

        return self._writer.write_at_once(text, self._waiting)


def _failed(error: Exception) -> Problem:
    detail = "The subscription failed."

    if settings.DEBUG:
        detail = f"{type(error).__name__}: {error}"

    return Problem(status=500, code="error", detail=detail)
