"""One thread, which runs calls one after the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from .checkout import Checkout

if TYPE_CHECKING:
    from .call import Call

__all__ = ("Source", "Worker")


class Source(Protocol):
    """Where a worker gets its calls from. Never blocks."""

    def take(self, worker: Worker, ended: Call | None) -> Call | None:
        """The next call, if one waits. `ended` is the one before it."""

    def park(self, worker: Worker) -> Call | None:
        """The next call, if one waits; else the worker counts as idle until it is
        rung for."""

    def is_over(self) -> bool:
        """Whether no call will come."""


class Worker:
    """A thread with the connections that its calls opened.

    Calls that wait are run in one go: waking a thread, and a loop, costs more than a
    short function.
    """

    def __init__(self, source: Source, name: str) -> None:
        self.checkout = Checkout()
        self._source = source
        # A bare lock, held while there is nothing to do: half the price of an Event.
        self._bell = threading.Lock()
        self._bell.acquire()
        # Not waited for at the end of the process where a call never ends; the pool's
        # `close` waits for the others.
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)

    def ring(self) -> None:
        """There is a call, or an end. Once for each time that it is parked."""
        self._bell.release()

    def _work(self) -> None:
        with self.checkout.in_this_thread():
            while not self._source.is_over():
                call = self._source.take(self, None) or self._source.park(self)

                while call is not None:
                    call = self._run(call)

                if not self._source.is_over():
                    self._wait()

    def _run(self, call: Call) -> Call | None:
        """Run a call and hand it over; the one that follows it at once, if any."""
        self.checkout.run(call)
        following = self._source.take(self, call)

        # A request keeps its connection from call to call, and no other gets it.
        if (
            following is None
            or following.request is not call.request
            or (call.request is None)
        ):
            self.checkout.give_back()

        if following is None:
            following = self._source.park(self)

        call.inbox.put(call, can_wait=following is not None)

        return following

    def _wait(self) -> None:
        while not self._bell.acquire(timeout=self.checkout.seconds_to_keep()):
            self.checkout.give_back()
