"""The way out of a socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from django_partstream.patience import Patience

from .socket_messages import CloseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ("GoneError", "Writer")

#: How long a peer that may not be reading is given to take a goodbye.
CLOSE_SECONDS = 1.0


class GoneError(Exception):
    """The peer has left."""


class Writer:
    """The one way out: a message at a time, each within `send_timeout_seconds`.

    Nothing waits here in a queue: whoever has something to say waits with it.
    """

    def __init__(
        self, send: Callable[[Mapping[str, Any]], Awaitable[None]], seconds: float
    ) -> None:
        self._send = send
        self._seconds = seconds
        self._lock = asyncio.Lock()
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
        await self._lock.acquire()

        try:
            await self._take({"type": "websocket.send", "text": text})
        finally:
            self._lock.release()

        self._last = self._loop.time()

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

        try:
            with self._patience.limit(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise CloseError(1013, "The socket takes no messages.") from None
        except OSError as error:
            raise GoneError from error
        except RuntimeError as error:
            # A server that has closed the socket itself, because the peer did not
            # answer its pings, calls every further message an error of ours.
            raise GoneError from error
