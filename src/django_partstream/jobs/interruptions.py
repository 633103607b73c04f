"""Errors of the database that are nobody's fault, and how long they are borne."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Setbacks", "is_interruption")

#: Classes of SQLSTATE: connection, resources, operator's intervention, system.
CLASSES = frozenset({"08", "53", "57", "58"})
#: Idle or long in a transaction, serialization, deadlock, lock not available.
STATES = frozenset({"25P03", "25P04", "40001", "40P01", "55P03"})
SQLITE = (
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_FULL",
    "SQLITE_IOERR",
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
)
#: MySQL's and MariaDB's: too many connections, shutdown, lock wait, deadlock, killed,
#: and what clients say when the server is away.
MYSQL = frozenset({1040, 1053, 1205, 1213, 1317, 1927, 2002, 2003, 2006, 2013, 2055})

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

#: Rows of a batch that was interrupted twice, three times …: what takes too long, or
#: gets in the way of others too often, succeeds in small pieces.
PIECES = (None, None, 200, 20)


def is_interruption(error: BaseException) -> bool:
    """Whether the same batch may succeed in a new transaction: other transactions, a
    server that is away, a disk that is full."""
    if not isinstance(error, DatabaseError | InterfaceError):
        return False

    cause: Any = error.__cause__
    state = getattr(cause, "sqlstate", None)
    name = getattr(cause, "sqlite_errorname", None)
    number = error.args[0] if error.args else None

    if state:
        return state[:2] in CLASSES or state in STATES

    if name:
        return bool(name.startswith(SQLITE))

    if isinstance(number, int) and number:
        return number in MYSQL

    # The driver's own words for a connection that broke.
    return isinstance(error, OperationalError | InterfaceError)


class Setbacks:
    """Interruptions in a row."""

    def __init__(self, seconds: float, stopping: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._stopping = stopping
        self._count = 0
        self._since = 0.0

    @property
    def rows(self) -> int | None:
        """How many rows to try next; None: as many as usual."""
        return PIECES[self._count] if self._count < len(PIECES) else 1

    @property
    def any(self) -> bool:
        return self._count > 0

    def over(self) -> None:
        """A batch has succeeded."""
        self._count = 0

    def pause(self) -> bool:
        """Wait, longer every time. False when it has gone on for too long, or the
        worker is to stop."""
        now = time.monotonic()
        self._since = self._since if self._count else now
        left = self._since + self._seconds - now
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._count)
        self._count += 1

        if left <= 0 or self._stopping():
            return False

        time.sleep(min(left, random.uniform(longest / 2, longest)))

        return True
