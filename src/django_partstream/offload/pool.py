"""The threads: sync work off the event loop, with connections of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, reset_queries
from django.utils import timezone, translation

from django_partstream import conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

__all__ = ("Pool", "is_inside", "run_sync")

P = ParamSpec("P")
T = TypeVar("T")

#: True in what was called, however indirectly, from a thread of ours.
_inside = contextvars.ContextVar("django_partstream.offload", default=False)


class Pool:
    """A bounded set of threads for sync work, most of it ORM code.

    A call sees the caller's context variables, language and time zone. Its
    database connections belong to its thread and are given back when it returns,
    as Django does at the end of a request.
    """

    def __init__(self, threads: int, *, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` in a thread of this pool and return what it returns.

        Reached from one of our own threads (by `async_to_sync`) it calls `fn` in that
        one: waiting for a second could lock up a pool whose threads all wait. When
        the caller is cancelled, a call that has not begun never runs; one that has
        begun runs to its end, and its result is dropped.
        """
        if _inside.get():
            # asgiref runs this in the thread that waits in async_to_sync.
            return await sync_to_async(fn, thread_sensitive=True)(*args, **kwargs)

        call = functools.partial(
            _in_thread,
            translation.get_language(),
            timezone.get_current_timezone(),
            functools.partial(fn, *args, **kwargs),
        )
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()

        return await loop.run_in_executor(self._executor, context.run, call)

    def close(self) -> None:
        """Let running calls end and take no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _in_thread(language: str | None, zone: tzinfo, call: Callable[[], T]) -> T:
    # asgiref keeps language and time zone by thread, so the copied context alone
    # would lose both.
    _inside.set(True)
    reset_queries()
    close_old_connections()

    try:
        with translation.override(language), timezone.override(zone):
            return call()
    except StopIteration as stop:
        # A Future cannot carry it.
        raise RuntimeError("the function raised StopIteration") from stop
    finally:
        close_old_connections()


@functools.cache
def _pool() -> Pool:
    return Pool(conf.current().threads, name="partstream")


async def run_sync(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn` in the process-wide pool (`THREADS` threads); see `Pool.run`."""
    return await _pool().run(fn, *args, **kwargs)


def is_inside() -> bool:
    """Whether this was reached, however indirectly, from a thread of ours."""
    return _inside.get()
