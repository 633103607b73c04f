"""In which thread sync functions are called: one of ours, or that of the request."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from .call import Work, current_request, current_work
from .canceller import canceller
from .checkout import Checkout, this_checkout
from .process import run_sync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = (
    "RunSync",
    "current_runner",
    "in_atomic_block",
    "run_here",
    "run_in_request_thread",
    "running_with",
)

P = ParamSpec("P")
T = TypeVar("T")

#: Calls a sync function off the loop, in one of the ways below.
RunSync: TypeAlias = "Callable[..., Awaitable[Any]]"

_runner: contextvars.ContextVar[RunSync] = contextvars.ContextVar(
    "django_partstream.runner", default=run_sync
)


@contextlib.contextmanager
def running_with(runner: RunSync, *, request: Any = None) -> Iterator[None]:
    """Let `run_here` use this runner, in this context and the tasks made in it.

    `request` is the one whose work it is, for `CONNECTION_SETUP`.
    """
    token = _runner.set(runner)
    request_token = current_request.set(request)

    try:
        yield
    finally:
        current_request.reset(request_token)
        _runner.reset(token)


async def run_here(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn` in the way that the surrounding part is called in: by `run_sync`, or
    in the thread of the request where the part must see its transaction."""
    result: T = await _runner.get()(fn, *args, **kwargs)

    return result


def current_runner() -> RunSync:
    """What `run_here` uses in this context."""
    return _runner.get()


def in_atomic_block() -> bool:
    """Whether a connection of this thread is inside a transaction."""
    return any(
        connection.in_atomic_block
        for connection in connections.all(initialized_only=True)
    )


async def run_in_request_thread(
    fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `fn` in the thread of the request, inside its transaction if it has one.

    One call at a time. Each has a savepoint, so that one that fails does not spoil
    the transaction for the next. Its statements end with a cancelled caller, as in
    `run_sync`; inside a transaction, which is another's, it runs to its end.
    """
    work = Work()
    checkout = Checkout()
    call = functools.partial(fn, *args, **kwargs)

    try:
        return await sync_to_async(_in_request_thread, thread_sensitive=True)(
            checkout, work, call
        )
    except asyncio.CancelledError:
        work.is_abandoned = work.is_cancelled = True
        canceller().end(checkout, work)
        raise


def _in_request_thread(checkout: Checkout, work: Work, call: Callable[[], T]) -> T:
    aliases = [
        connection.alias
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
    ]

    if aliases or this_checkout() is not None:
        return _nested(aliases, call)

    token = current_work.set(work)

    try:
        with checkout.around(work):
            return call()
    finally:
        current_work.reset(token)


def _nested(aliases: list[Any], call: Callable[[], T]) -> T:
    if not aliases:
        return call()

    with transaction.atomic(using=aliases[0]):
        return _nested(aliases[1:], call)
