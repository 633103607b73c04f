"""The way out of a socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from django_partstream.patience import Patience

from .socket_messages import CloseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping

    from django_partstream import frames

    from .in_place import Rest, Waiting

__all__ = ("GoneError", "Writer")

#: How long a peer that may not be reading is given to take a goodbye.
CLOSE_SECONDS = 1.0


class GoneError(Exception):
    """The peer has left."""


class Writer:
    """The one way out: a message at a time, each within `send_timeout_seconds`.

    Nothing waits here in a queue: whoever has something to say waits with it.
    """

    __slots__ = (
        "_closed",
        "_last",
        "_lock",
        "_loop",
        "_patience",
        "_seconds",
        "_send",
        "_writing",
    )

    def __init__(
        self, send: Callable[[Mapping[str, Any]], Awaitable[None]], seconds: float
    ) -> None:
        self._send = send
        self._seconds = seconds
        self._lock = asyncio.Lock()
        #: How many hold the lock or wait for it.
        self._writing = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._patience = Patience()
        self._last = self._loop.time()

    @property
    def quiet_seconds(self) -> float:
        return self._loop.time() - self._last

    async def accept(self, subprotocol: str | None) -> None:
        await self._take({"type": "websocket.accept", "subprotocol": subprotocol})

    async def write(self, text: str) -> None:
        """Raises GoneError when the peer has left, CloseError when it takes none."""
        self._writing += 1

        try:
            async with self._lock:
                await self._take({"type": "websocket.send", "text": text})
        finally:
            self._writing -= 1

        self._last = self._loop.time()

    def write_at_once(self, text: str, waiting: Waiting) -> frames.Rest | None:
        """As `write`, begun here and now in the name of a task that waits.

        None where that was all. Else the rest, for that task: a peer that does not
        read, a message before this one, or the error.
        """
        if self._closed or self._writing:
            return self.write(text)

        try:
            rest = waiting.begin(self._send({"type": "websocket.send", "text": text}))
        except Exception as error:
            return self._fail(error)

        if rest is not None:
            return _Begun(self, rest)

        self._last = self._loop.time()

        return None

    async def close(self, code: int, reason: str) -> None:
        """Say goodbye, briefly; nothing can be written from here on."""
        self._closed, closed = True, self._closed
        self._patience.close()

        if not closed:
            with contextlib.suppress(TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(CLOSE_SECONDS), self._lock:
                    await self._send(
                        {"type": "websocket.close", "code": code, "reason": reason}
                    )

    async def _take(self, message: Mapping[str, Any]) -> None:
        if self._closed:
            raise GoneError

        with _understood(), self._patience.limit(self._seconds):
            await self._send(message)

    def hold(self) -> None:
        """Keep others waiting, who are none yet, until `release`."""
        self._writing += 1

        # It has nothing to wait for.
        with contextlib.suppress(StopIteration):
            self._lock.acquire().send(None)

    def release(self) -> None:
        self._writing -= 1
        self._lock.release()

    async def finish(self, rest: Rest) -> None:
        """What is left of a message whose sender holds this."""
        try:
            with _understood(), self._patience.limit(self._seconds):
                await rest
        finally:
            self.release()

        self._last = self._loop.time()

    async def _fail(self, error: Exception) -> None:
        with _understood():
            raise error


class _Begun:
    """A message that is half sent; it holds the writer until it was awaited, or was
    closed."""

    __slots__ = ("_rest", "_writer")

    def __init__(self, writer: Writer, rest: Rest) -> None:
        self._writer = writer
        self._rest = rest
        writer.hold()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._writer.finish(self._rest).__await__()

    def close(self) -> None:
        try:
            self._rest.close()
        finally:
            self._writer.release()


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """What a server means with what its `send` raises."""
    try:
        yield
    except TimeoutError:
        raise CloseError(1013, "The socket takes no messages.") from None
    except OSError as error:
        raise GoneError from error
    except RuntimeError as error:
        # A server that has closed the socket itself, because the peer did not answer
        # its pings, calls every further message an error of ours.
        raise GoneError from error
