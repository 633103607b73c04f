"""What an error of the database says about a row, without its text.

The text of a database error holds names of constraints and values of other rows; it
never leaves the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError

from .outcome import RowError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "CONFLICT",
    "NOT_UNIQUE",
    "NO_REFERENCE",
    "REFUSALS",
    "is_transient",
    "refusal",
)

#: A stored row that may not be shown has the key; or any of its unique values.
CONFLICT = RowError("", "conflict", "This row conflicts with stored data.")
NOT_UNIQUE = RowError("", "unique", "This row conflicts with stored data.")
NO_REFERENCE = RowError(
    "", "does_not_exist", "This row refers to an object that does not exist."
)
INCOMPLETE = RowError("", "null", "This row lacks a value that must be stored.")
TOO_LONG = RowError("", "max_length", "This row has a value that is too long.")
INVALID = RowError("", "invalid", "This row has a value that cannot be stored.")

#: What may be a row's fault; `refusal` tells.
REFUSALS = (DatabaseError, ArithmeticError, ValidationError, ValueError)

SQLSTATES: Mapping[str, RowError] = {
    "22001": TOO_LONG,
    "23502": INCOMPLETE,
    "23503": NO_REFERENCE,
    "23505": NOT_UNIQUE,
    # A trigger refused it.
    "P0001": INVALID,
}
SQLITE: Mapping[str, RowError] = {
    "SQLITE_CONSTRAINT_FOREIGNKEY": NO_REFERENCE,
    "SQLITE_CONSTRAINT_NOTNULL": INCOMPLETE,
    "SQLITE_CONSTRAINT_PRIMARYKEY": NOT_UNIQUE,
    "SQLITE_CONSTRAINT_ROWID": NOT_UNIQUE,
    "SQLITE_CONSTRAINT_UNIQUE": NOT_UNIQUE,
}
# MySQL and MariaDB raise OperationalError for several of these.
MYSQL: Mapping[int, RowError] = {
    1048: INCOMPLETE,
    1062: NOT_UNIQUE,
    1264: INVALID,
    1364: INCOMPLETE,
    1366: INVALID,
    1406: TOO_LONG,
    1452: NO_REFERENCE,
    1644: INVALID,
    3819: INVALID,
    4025: INVALID,
}


def refusal(error: BaseException) -> RowError | None:
    """What is wrong with the row that was written; None where the error is no row's
    fault: a deadlock, a lost connection, a missing table."""
    if not isinstance(error, DatabaseError):
        return INVALID if isinstance(error, REFUSALS) else None

    cause: Any = error.__cause__
    known = (
        SQLSTATES.get(getattr(cause, "sqlstate", None) or "")
        or SQLITE.get(getattr(cause, "sqlite_errorname", None) or "")
        or _mysql(error)
    )

    if known is None and isinstance(error, DataError | IntegrityError):
        return INVALID

    return known


#: PostgreSQL's serialization_failure, deadlock_detected and lock_not_available.
TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03"})
#: MySQL's lock wait timeout and deadlock.
TRANSIENT_NUMBERS = frozenset({1205, 1213})
TRANSIENT_SQLITE = ("SQLITE_BUSY", "SQLITE_LOCKED")


def is_transient(error: DatabaseError) -> bool:
    """Whether other transactions are to blame, and a new one may succeed."""
    cause: Any = error.__cause__
    name = getattr(cause, "sqlite_errorname", None) or ""

    return (
        getattr(cause, "sqlstate", None) in TRANSIENT_STATES
        or name.startswith(TRANSIENT_SQLITE)
        or (bool(error.args) and error.args[0] in TRANSIENT_NUMBERS)
    )


def _mysql(error: DatabaseError) -> RowError | None:
    number = error.args[0] if error.args else None

    return MYSQL.get(number) if isinstance(number, int) else None
