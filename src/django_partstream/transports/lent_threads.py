"""Threads of requests that are used again: asgiref starts one for each request, and a
second to end it."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ("MOST_IDLE", "LentThread", "lent_thread")

P = ParamSpec("P")
T = TypeVar("T")

#: That wait for a request. They have what WSGI's threads have between two requests:
#: connections as CONN_MAX_AGE says.
MOST_IDLE = 8


@contextlib.asynccontextmanager
async def lent_thread() -> AsyncIterator[None]:
    """What is `thread_sensitive` in here runs in one thread that nobody else has.

    Inside of another such context it runs in that one's.
    """
    if SyncToAsync.thread_sensitive_context.get(None) is not None:
        yield
        return

    threads = SyncToAsync.context_to_thread_executor

    async with ThreadSensitiveContext() as context:
        lent = threads[context] = LentThread()

        try:
            yield
        finally:
            # One that is not done yet is asgiref's to wait for.
            if lent.let_go():
                threads.pop(context, None)


class LentThread(Executor):
    """A thread for who needs one, from when on it is needed until it is let go."""

    def __init__(self) -> None:
        self._thread: _Thread | None = None

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        if self._thread is None:
            self._thread = _take()

        return self._thread.submit(fn, *args, **kwargs)

    def let_go(self) -> bool:
        """Give the thread back, unless something runs in it or waits to. Whether there
        is none now; who needs one after all gets another."""
        thread = self._thread

        if thread is not None and thread.is_done:
            self._thread = None
            _give_back(thread)

        return self._thread is None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait, cancel_futures=cancel_futures)


class _Thread(ThreadPoolExecutor):
    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="request")
        # The one is counted by who asks, the other in the thread.
        self._asked = self._answered = 0
        #: What was called last has left a transaction open.
        self.is_in_transaction = False

    @property
    def is_done(self) -> bool:
        """Nothing runs in it or waits to."""
        return self._asked == self._answered

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        self._asked += 1

        return super().submit(self._run, fn, *args, **kwargs)

    def _run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            self.is_in_transaction = any(
                connection.in_atomic_block
                for connection in connections.all(initialized_only=True)
            )
            self._answered += 1


_idle: deque[_Thread] = deque()
# Threads do not come along.
os.register_at_fork(after_in_child=_idle.clear)


def _take() -> _Thread:
    with contextlib.suppress(IndexError):
        # The one that was busy last has what it needs in the processor's caches.
        return _idle.pop()

    return _Thread()


def _give_back(thread: _Thread) -> None:
    if thread.is_in_transaction:
        # Nobody will end it any more.
        thread.submit(_close_connections)
    elif len(_idle) < MOST_IDLE:
        _idle.append(thread)
        return

    thread.shutdown(wait=False)


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        connection.in_atomic_block = connection.closed_in_transaction = False
        connection.close()
