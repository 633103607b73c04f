"""Jobs in the process that serves: nothing else needs to run.

Where the server has a lifespan, the worker lives in it. Elsewhere (`runserver`,
daphne, WSGI) it begins with the first request, in a thread with a loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started

from django_partstream import conf

from .database_queue import DatabaseQueue
from .queue import get_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("EmbeddedQueue", "start_with_first_request")

#: The end of a process waits so long for the batch in hand.
GRACE_SECONDS = 10.0


class EmbeddedQueue(DatabaseQueue):
    """A worker inside the serving process, one job at a time."""

    #: Short, since requests share the interpreter and often a one-writer database.
    commit_seconds = 0.25

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        #: The process in which it runs: a fork takes no threads along.
        self._runs_in: int | None = None

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        with self._lock:
            self._runs_in = os.getpid()

        stop = asyncio.Event()
        worker = asyncio.create_task(
            self.work(stop, concurrency=1, grace_seconds=GRACE_SECONDS)
        )

        try:
            yield
        finally:
            # The batch in hand ends and is committed; the job goes on at next start.
            stop.set()
            await asyncio.wait([worker])
            self._runs_in = None
            worker.result()

    def start(self) -> None:
        """Run from now on to the end of this process, unless it runs already."""
        with self._lock:
            if self._runs_in == os.getpid():
                return

            self._runs_in = os.getpid()

        _Thread(self).start()


class _Thread:
    """A thread with an event loop, in which the queue works."""

    def __init__(self, queue: EmbeddedQueue) -> None:
        self._queue = queue
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        # Not waited for by the interpreter, which would wait before `_end` is called.
        self._thread = threading.Thread(
            target=self._work, name="partstream-jobs", daemon=True
        )

    def start(self) -> None:
        self._thread.start()
        atexit.register(self._end)

    def _work(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(
                self._queue.work(self._stop, concurrency=1, grace_seconds=GRACE_SECONDS)
            )

    def _end(self) -> None:
        # RuntimeError: the loop has ended before.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)

        self._thread.join(GRACE_SECONDS + 1)


def start_with_first_request() -> None:
    """Have the embedded queue begin with the first request that a server hands to
    Django, for servers without a lifespan."""
    request_started.connect(
        _on_request, dispatch_uid="django_partstream.jobs.embedded_queue"
    )


def _on_request(sender: type[object], **_: object) -> None:
    # The clients of tests have handlers of their own.
    if sender not in (ASGIHandler, WSGIHandler) or conf.current().queue != "embedded":
        return

    queue = get_queue()

    if isinstance(queue, EmbeddedQueue) and not _is_testing():
        queue.start()


def _is_testing() -> bool:
    """Whether this process runs tests, as LiveServerTestCase does: a worker in it
    would outlive their databases. `django_partstream.testing` has `run_jobs`."""
    module = sys.modules.get("django.test.utils")

    return module is not None and hasattr(module._TestState, "saved_data")
