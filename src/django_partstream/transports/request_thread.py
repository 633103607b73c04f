"""The thread of the request, which a stream outlives by hours."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections

__all__ = ("close_connections",)


async def close_connections() -> None:
    """Close those of this request's thread, whatever CONN_MAX_AGE says: nobody comes
    back for them. What is inside of a transaction is left alone."""
    await sync_to_async(_close)()


def _close() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
