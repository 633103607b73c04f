"""The connections that calls opened in one thread."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created

from .held import Held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .call import Call, Work

__all__ = ("Checkout", "this_checkout")

logger = logging.getLogger(__name__)

#: How often a thread without work looks for connections that are too old.
KEEP_SECONDS = 60.0

_this = threading.local()


def this_checkout() -> Checkout | None:
    """The one of this thread; None where the thread holds none."""
    checkout: Checkout | None = getattr(_this, "checkout", None)

    return checkout


class Checkout:
    """Used in its thread, but for `end_statements`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._last_request: Any = None
        self._held: dict[int, Held] = {}

    @contextlib.contextmanager
    def in_this_thread(self) -> Iterator[None]:
        """Hold what is opened in this thread, and close it at the end."""
        _this.checkout = self

        try:
            yield
        finally:
            self.give_back(keep=False)
            _this.checkout = None

    def run(self, call: Call) -> None:
        """Run a call, unless it was abandoned before it began."""
        with self._lock:
            if call.is_abandoned:
                return

            self._work = call

        try:
            call.run(self._set_up)
        finally:
            self._end(call)

    @contextlib.contextmanager
    def around(self, work: Work) -> Iterator[None]:
        """In a thread that is not ours: hold what it has open, and opens in here."""
        for connection in connections.all(initialized_only=True):
            if connection.connection is not None:
                self._hold(connection)

        with self._lock:
            self._work = work

        _this.checkout = self

        try:
            yield
        finally:
            _this.checkout = None
            self._end(work)

            for held in self._held.values():
                held.release()

            self._held.clear()

    def end_statements(self, work: Work) -> bool:
        """From another thread: end what it runs. False when the work has ended."""
        with self._lock:
            if self._work is not work:
                return False

            for held in [*self._held.values()]:
                held.end()

            return True

    def give_back(self, *, keep: bool = True) -> None:
        """Close the connections, or keep them as CONN_MAX_AGE says."""
        self._last_request = None

        for held in [*self._held.values()]:
            self._give_back(held, keep=keep)

    def seconds_to_keep(self) -> float:
        """Until something should be given back though no call comes; -1: never."""
        ends = [
            held.connection.close_at
            for held in self._held.values()
            if held.connection.close_at is not None
        ]

        if not ends:
            return -1.0

        return min(max(min(ends) - time.monotonic(), 0.0), KEEP_SECONDS)

    def _set_up(self) -> None:
        assert self._work is not None  # it runs
        request = self._work.request

        for held in [*self._held.values()]:
            held.renew(
                same_request=request is not None and request is self._last_request
            )
            held.set_up(request)

        self._last_request = request

    def _end(self, work: Work) -> None:
        # Waits for an order that is on its way.
        with self._lock:
            self._work = None

        if work.is_cancelled:
            for held in [*self._held.values()]:
                if held.is_spoiled:
                    self._give_back(held, keep=False)

    def _give_back(self, held: Held, *, keep: bool) -> None:
        try:
            held.give_back(keep=keep)
        except Exception:
            alias = held.connection.alias
            logger.warning("a connection to %r was not closed", alias, exc_info=True)

        if not held.is_open:
            held.release()
            del self._held[id(held.connection)]

    def _hold(self, connection: BaseDatabaseWrapper) -> Held:
        held = self._held.get(id(connection))

        if held is None:
            held = Held(connection, self._lock, lambda: self._work)
            self._held[id(connection)] = held

        return held

    def opened(self, connection: BaseDatabaseWrapper) -> None:
        """A connection was opened in this thread."""
        held = self._hold(connection)

        if self._work is not None:
            held.set_up(self._work.request)


def _opened(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    checkout = this_checkout()

    if checkout is not None:
        checkout.opened(connection)


connection_created.connect(_opened, dispatch_uid="django_partstream.offload")
