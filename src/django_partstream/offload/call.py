"""One call of a sync function: what its caller hands over, and gets back."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import traceback
from typing import TYPE_CHECKING, Any

from .locale import Locale

if TYPE_CHECKING:
    from collections.abc import Callable

    from .inbox import Inbox
    from .worker import Worker

__all__ = (
    "Call",
    "Work",
    "current_request",
    "current_work",
    "is_cancelled",
    "is_inside",
)

logger = logging.getLogger(__name__)

_numbers = itertools.count()

#: What this code was reached from, however indirectly; None on the loop.
current_work: contextvars.ContextVar[Work | None] = contextvars.ContextVar(
    "django_partstream.work", default=None
)

#: The request whose work this is; None where nobody said.
current_request: contextvars.ContextVar[Any] = contextvars.ContextVar(
    "django_partstream.request", default=None
)


class Work:
    """What a thread is at, and whether anybody waits for it."""

    __slots__ = ("is_abandoned", "is_cancelled", "request")

    def __init__(self) -> None:
        self.request = current_request.get()
        #: Nobody waits for it any more.
        self.is_abandoned = False
        #: Its statements are to end, too.
        self.is_cancelled = False


class Call(Work):
    """A function with the context, language and time zone of its caller."""

    __slots__ = (
        "_context",
        "_error",
        "_fn",
        "_future",
        "_locale",
        "_value",
        "has_ended",
        "inbox",
        "is_long",
        "number",
        "worker",
    )

    def __init__(
        self, fn: Callable[[], Any], inbox: Inbox, *, is_long: bool = False
    ) -> None:
        super().__init__()
        self._fn: Callable[[], Any] | None = fn
        self._context: contextvars.Context | None = contextvars.copy_context()
        self._locale = Locale.current()
        self._future: asyncio.Future[Any] | None = inbox.loop.create_future()
        self._value: Any = None
        self._error: BaseException | None = None
        self.inbox = inbox
        self.number = next(_numbers)
        #: It may take as long as a slow client wants.
        self.is_long = is_long
        self.worker: Worker | None = None
        self.has_ended = False

    @property
    def future(self) -> asyncio.Future[Any]:
        assert self._future is not None  # until it is delivered
        return self._future

    def run(self, set_up: Callable[[], None]) -> None:
        """In a thread: `set_up`, then the function, whose outcome is kept."""
        context, self._context = self._context, None
        assert context is not None  # a call runs once

        try:
            self._value = context.run(self._run, set_up)
        except (StopIteration, asyncio.CancelledError) as error:
            # A Future cannot carry the one, and the other would say that its caller
            # was cancelled.
            self._error = RuntimeError(f"the function raised {type(error).__name__}")
            self._error.__cause__ = error
        except BaseException as error:
            self._error = error
        finally:
            # Its arguments are not kept until the loop has time.
            self._fn = None

        if self.is_abandoned:
            self._forget()

    def _run(self, set_up: Callable[[], None]) -> Any:
        assert self._fn is not None  # a call runs once
        current_work.set(self)
        self._locale.activate()
        set_up()

        return self._fn()

    def _forget(self) -> None:
        """Let go at once of what the error holds: asgiref's frames, and with them a
        thread, would stay until the garbage collector comes by."""
        if self._error is not None:
            logger.debug("a call that nobody waits for failed", exc_info=self._error)

        errors, self._error, self._value = [self._error], None, None

        while errors:
            if (error := errors.pop()) is not None:
                errors += [error.__cause__, error.__context__]
                traceback.clear_frames(error.__traceback__)
                error.__traceback__ = error.__cause__ = error.__context__ = None

    def drop(self) -> None:
        """It will not run: its caller is cancelled."""
        self.has_ended = True
        self._error = asyncio.CancelledError()
        self.inbox.put(self, can_wait=False)

    def deliver(self) -> None:
        """On the loop: let the caller have what became of it."""
        future, error = self.future, self._error
        # An error's traceback knows this call: keeping both ways would be a circle.
        self._future = self._error = None

        if future.done():
            return

        if error is None:
            future.set_result(self._value)
        elif isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)


def is_inside() -> bool:
    """Whether this was reached, however indirectly, from a thread of ours, which is
    still at it."""
    work = current_work.get()

    return isinstance(work, Call) and not work.has_ended


def is_cancelled() -> bool:
    """Whether nobody waits any more for the call that this is reached from.

    A thread cannot be killed: a long computation asks this now and then, and returns.
    """
    work = current_work.get()

    return work is not None and work.is_abandoned
