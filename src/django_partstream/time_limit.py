"""How long a statement may take, where the database can be told."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db import DatabaseError

__all__ = ("limited", "was_exceeded")

#: PostgreSQL's `query_canceled`; MariaDB's and MySQL's errors of a time limit.
SQLSTATE = "57014"
NUMBERS = {1969, 3024}


@contextlib.contextmanager
def limited(using: str, seconds: float | None) -> Iterator[None]:
    """Statements on this connection end with an error after so many seconds, while
    the scope is open. To be opened in a transaction. SQLite knows no such limit."""
    vendor = connections[using].vendor

    if seconds is None or vendor not in ("postgresql", "mysql"):
        yield
        return

    with connections[using].cursor() as cursor:
        if vendor == "postgresql":
            cursor.execute("SELECT current_setting('statement_timeout')")
            before = cursor.fetchone()[0]
            # For the transaction alone: a pooler may give the next one to another.
            _set_postgresql(cursor, f"{seconds * 1000:.0f}ms")
            yield
            # Not after an error: it is undone with the savepoint.
            _set_postgresql(cursor, before)
            return

        name = _variable(connections[using])
        cursor.execute(f"SELECT @@SESSION.{name}")
        before = cursor.fetchone()[0]
        unit = 1 if name == "max_statement_time" else 1000
        cursor.execute(f"SET SESSION {name} = %s", [seconds * unit])

        try:
            yield
        finally:
            # Django's own cursor takes nothing after an error.
            with connections[using].connection.cursor() as raw:
                raw.execute(f"SET SESSION {name} = %s", [before])


def _set_postgresql(cursor: Any, value: str) -> None:
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])


def _variable(connection: Any) -> str:
    is_mariadb: bool = connection.mysql_is_mariadb

    return "max_statement_time" if is_mariadb else "max_execution_time"


def was_exceeded(error: DatabaseError) -> bool:
    """Whether a statement ended because of its limit."""
    cause: Any = error.__cause__

    return getattr(cause, "sqlstate", None) == SQLSTATE or (
        bool(error.args) and error.args[0] in NUMBERS
    )
