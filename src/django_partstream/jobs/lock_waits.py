"""Transactions that wait for no lock for long; each database has words of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db import DatabaseError
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ("at_most", "is_lock_timeout")


@contextlib.contextmanager
def at_most(seconds: float, *, using: str) -> Iterator[None]:
    """A transaction that waits for no lock longer than this.

    What it raises then, `is_lock_timeout` knows.
    """
    connection = connections[using]
    milliseconds = int(seconds * 1000)

    match connection.vendor:
        case "postgresql":
            with transaction.atomic(using=using):
                before = _set_in_transaction(connection, f"{milliseconds}ms")
                yield
                # The transaction around ours, if there is one, goes on as it was.
                _set_in_transaction(connection, before)
        case "mysql":
            name = "SESSION innodb_lock_wait_timeout"
            before = _ask(connection, f"SELECT @@{name.replace(' ', '.')}")

            with _told(connection, f"SET {name} =", max(1, int(seconds)), before):
                yield
        case "sqlite":
            before = _ask(connection, "PRAGMA busy_timeout")

            with _told(connection, "PRAGMA busy_timeout =", milliseconds, before):
                yield
        case _:
            with transaction.atomic(using=using):
                yield


def _set_in_transaction(connection: BaseDatabaseWrapper, value: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'),"
            " set_config('lock_timeout', %s, true)",
            [value],
        )
        row = cursor.fetchone()
        assert row is not None  # a SELECT without a table has one

        return str(row[0])


@contextlib.contextmanager
def _told(
    connection: BaseDatabaseWrapper, what: str, value: int, before: Any
) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(f"{what} {value}")

    try:
        with transaction.atomic(using=connection.alias):
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"{what} {int(before)}")


def _ask(connection: BaseDatabaseWrapper, question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone()
        assert row is not None  # every session has the setting

        return row[0]


def is_lock_timeout(error: DatabaseError) -> bool:
    """Whether a lock was waited for in vain."""
    cause: Any = error.__cause__
    name = getattr(cause, "sqlite_errorname", None) or ""

    return (
        getattr(cause, "sqlstate", None) == "55P03"
        or name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
        or (bool(error.args) and error.args[0] == 1205)
    )
