"""The thread of the request, which a stream outlives by hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

from .lent_threads import LentThread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("call", "close", "close_connections", "end_thread")

P = ParamSpec("P")
T = TypeVar("T")


async def call(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`fn`, in that thread: `sync_to_async(fn)` for what is called with every
    request."""
    return await _called(fn, *args, **kwargs)


@sync_to_async
def _called(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    # Wrapped once: that takes about as long as the way to the thread.
    return fn(*args, **kwargs)


async def close_connections() -> bool:
    """Close those of this request's thread, whatever CONN_MAX_AGE says: nobody comes
    back for them. What is inside of a transaction is left alone. Whether all are
    closed."""
    return await call(close)


def close() -> bool:
    """`close_connections`, in that thread."""
    used = connections.all(initialized_only=True)
    left = [connection for connection in used if connection.in_atomic_block]

    for connection in used:
        if connection not in left:
            connection.close()

    return not left


def end_thread() -> None:
    """End it, in a context of this request. Who needs one after all gets another."""
    context = SyncToAsync.thread_sensitive_context.get(None)

    # The thread of the process, or one that somebody else has given.
    if context is None or getattr(context, "_executor", None) is not None:
        return

    executor = SyncToAsync.context_to_thread_executor.get(context)

    if isinstance(executor, LentThread):
        executor.let_go()
    elif executor is not None:
        del SyncToAsync.context_to_thread_executor[context]
        # It has nothing to do: it was we who waited for it.
        executor.shutdown(wait=False)
