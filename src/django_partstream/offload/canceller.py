"""Ending the statements of calls that nobody waits for, off the loop."""

from __future__ import annotations

import functools
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .call import Work
    from .checkout import Checkout

__all__ = ("Canceller", "canceller")

#: Between the orders to a call that goes on: it was between two statements, or waits
#: for the rows of a cursor. Then it is left alone; its next statement is refused.
PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class _Order(NamedTuple):
    due: float
    attempt: int
    checkout: Checkout
    work: Work


class Canceller:
    """A thread that is there as long as there is somebody to end.

    The way to a server may be long: each order is bounded in time, and none of them is
    waited for on the loop.
    """

    def __init__(self) -> None:
        self._orders: list[_Order] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def end(self, checkout: Checkout, work: Work) -> None:
        """End the statements of this work, at once and as long as it goes on."""
        with self._changed:
            self._orders.append(_Order(time.monotonic(), 0, checkout, work))
            self._changed.notify()

            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="partstream-cancel", daemon=True
                )
                self._thread.start()

    def _work(self) -> None:
        while (order := self._next()) is not None:
            if not order.checkout.end_statements(order.work):
                continue

            if order.attempt < len(PAUSES):
                due = time.monotonic() + PAUSES[order.attempt]

                with self._changed:
                    self._orders.append(
                        order._replace(due=due, attempt=order.attempt + 1)
                    )

    def _next(self) -> _Order | None:
        """The order that is due; None where there are none, and the thread ends."""
        with self._changed:
            while self._orders:
                order = min(self._orders, key=lambda order: order.due)
                seconds = order.due - time.monotonic()

                if seconds <= 0:
                    self._orders.remove(order)

                    return order

                self._changed.wait(seconds)

            self._thread = None

            return None


@functools.cache
def canceller() -> Canceller:
    """The one of this process."""
    return Canceller()


# Threads do not survive a fork.
os.register_at_fork(after_in_child=canceller.cache_clear)
