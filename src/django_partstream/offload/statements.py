"""How the statement that a connection runs is ended from another thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ("END_SECONDS", "end_statement", "really_close")

logger = logging.getLogger(__name__)

#: How long the order may take to reach the server.
END_SECONDS = 2.0

#: libpq's PQTRANS_ACTIVE, the same in psycopg and psycopg2: a statement is running.
ACTIVE = 1


def end_statement(connection: BaseDatabaseWrapper) -> bool:
    """Have the database end what this connection runs, if it runs something.

    Whether it was told to. The connection must not be closed meanwhile, nor used by
    anyone else afterwards. Where the database offers no way (MariaDB, MySQL, Oracle)
    the statement runs to its end.
    """
    end = _ENDS.get(connection.vendor)

    if end is None or connection.connection is None:
        return False

    try:
        return end(connection)
    except Exception:
        logger.warning(
            "a statement on %r could not be ended", connection.alias, exc_info=True
        )

        # It may still arrive.
        return True


def really_close(connection: BaseDatabaseWrapper) -> None:
    """End the connection itself, also where `close` gives it back to a pool."""
    raw = connection.connection

    if raw is None or connection.vendor != "postgresql":
        return

    if hasattr(raw, "pgconn"):
        # `close` of a pooled one may be told to give back, too.
        raw.pgconn.finish()
    else:
        raw.close()


def _on_postgresql(connection: BaseDatabaseWrapper) -> bool:
    raw: Any = connection.connection

    if not hasattr(raw, "pgconn"):
        # psycopg2
        if raw.info.transaction_status != ACTIVE:
            return False

        raw.cancel()
    elif raw.pgconn.transaction_status != ACTIVE:
        return False
    elif hasattr(raw, "cancel_safe"):
        raw.cancel_safe(timeout=END_SECONDS)
    else:
        raw.cancel()

    return True


def _on_sqlite(connection: Any) -> bool:
    # In memory there is one database for each connection, which must not be closed.
    if connection.is_in_memory_db():
        return False

    connection.connection.interrupt()

    return True


_ENDS: dict[str, Callable[[Any], bool]] = {
    "postgresql": _on_postgresql,
    "sqlite": _on_sqlite,
}
