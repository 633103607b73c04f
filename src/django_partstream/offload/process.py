"""The pool that this process has for parts, and whatever else is sync."""

from __future__ import annotations

import atexit
import functools
import os
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from django_partstream import conf

from .pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pool import Statistics

__all__ = ("close", "run_long", "run_sync", "statistics")

P = ParamSpec("P")
T = TypeVar("T")


@functools.cache
def _pool() -> Pool:
    return Pool(conf.current().threads, name="partstream", ends_statements=True)


async def run_sync(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn` in the process-wide pool (`THREADS` threads); see `Pool.run`.

    A call that nobody waits for any more has its running statement ended, on
    PostgreSQL on the server, and each further one is refused with CancelledError.
    """
    return await _pool().run(fn, *args, **kwargs)


async def run_long(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn` in the process-wide pool; see `Pool.run_long`."""
    return await _pool().run_long(fn, *args, **kwargs)


def statistics() -> Statistics:
    """What the threads of the process-wide pool are at."""
    return _pool().statistics()


def close() -> None:
    """Close the process-wide pool; see `Pool.close`. A later call begins a new one."""
    if _pool.cache_info().currsize:
        pool = _pool()
        _pool.cache_clear()
        pool.close()


def _forget() -> None:
    # Threads do not survive a fork.
    _pool.cache_clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
