"""The threads: sync work off the event loop, with connections of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from .call import Call, is_inside
from .canceller import canceller
from .inbox import Inbox
from .worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Pool", "Statistics")

P = ParamSpec("P")
T = TypeVar("T")

#: How long one thread has the calls of the same moment for itself.
SHARE_SECONDS = 0.001
#: As many in that time, and they are quick: more threads would only cost.
QUICK_CALLS = 10
#: How long the end of a pool waits for calls that nobody waits for.
CLOSE_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the threads of one pool are at."""

    #: That there are, of `most`.
    threads: int
    most: int
    #: Calls in a thread, whose callers wait.
    running: int
    #: Calls that wait for a thread.
    waiting: int
    #: Calls in a thread that nobody waits for. A thread cannot be killed.
    abandoned: int


class Pool:
    """A bounded set of threads for sync work, most of it ORM code.

    A call sees the caller's context variables, language and time zone. Its database
    connections belong to its thread and are given back when it returns, as Django
    does at the end of a request; calls of one request that follow each other in a
    thread share them.

    Calls of the same moment are run by one thread, one after the other, as long as
    each is quick; slow ones get threads of their own.
    """

    def __init__(
        self, threads: int, *, name: str, ends_statements: bool = False
    ) -> None:
        """With `ends_statements` a call whose caller is cancelled has its running
        statement ended (PostgreSQL, SQLite), and the next ones refused."""
        self._most = threads
        #: Long ones leave room for the others.
        self._most_long = max(1, threads // 2)
        self._name = name
        self._ends_statements = ends_statements
        self._lock = threading.Lock()
        self._is_closed = False
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        #: Threads that were rung for and have not taken their first call.
        self._coming = 0
        self._waiting: OrderedDict[int, Call] = OrderedDict()
        self._waiting_long: OrderedDict[int, Call] = OrderedDict()
        self._running: dict[int, Call] = {}
        self._running_long = 0
        self._abandoned = 0
        self._said_all_abandoned = False
        self._taken = 0
        self._inboxes: weakref.WeakValueDictionary[asyncio.AbstractEventLoop, Inbox] = (
            weakref.WeakValueDictionary()
        )

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` in a thread of this pool and return what it returns.

        Reached from one of our own threads (by `async_to_sync`) it calls `fn` in that
        one: waiting for a second could lock up a pool whose threads all wait. When
        the caller is cancelled, a call that has not begun never runs; one that has
        begun is abandoned: it runs to its end, and its result is dropped.
        """
        if is_inside():
            # asgiref runs this in the thread that waits in async_to_sync.
            return await sync_to_async(fn, thread_sensitive=True)(*args, **kwargs)

        return await self._run(functools.partial(fn, *args, **kwargs))

    async def run_long(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for what may take as long as a client wants: no more than half of
        the threads do that at a time. Not from a thread of ours."""
        return await self._run(functools.partial(fn, *args, **kwargs), is_long=True)

    def statistics(self) -> Statistics:
        with self._lock:
            return Statistics(
                threads=sum(worker.thread.is_alive() for worker in self._workers),
                most=self._most,
                running=len(self._running) - self._abandoned,
                waiting=len(self._waiting) + len(self._waiting_long),
                abandoned=self._abandoned,
            )

    def close(self) -> None:
        """Let running calls end and take no more; close all connections.

        Abandoned calls are waited for only a moment.
        """
        with self._lock:
            self._is_closed = True
            dropped = [*self._waiting.values(), *self._waiting_long.values()]
            self._waiting.clear()
            self._waiting_long.clear()
            workers, idle, self._idle = [*self._workers], self._idle, []

        for call in dropped:
            call.drop()

        for worker in idle:
            worker.ring()

        for worker in workers:
            self._join(worker)

    async def _run(self, fn: Callable[[], T], *, is_long: bool = False) -> T:
        call = Call(fn, self._inbox(), is_long=is_long)
        self._submit(call)

        try:
            result: T = await call.future
        except asyncio.CancelledError:
            self._let_go(call)
            raise

        return result

    def _inbox(self) -> Inbox:
        loop = asyncio.get_running_loop()
        inbox = self._inboxes.get(loop)

        if inbox is None:
            inbox = self._inboxes[loop] = Inbox(loop)

        return inbox

    def _submit(self, call: Call) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError(f"The pool {self._name!r} is closed.")

            (self._waiting_long if call.is_long else self._waiting)[call.number] = call

            if self._coming == 0:
                self._summon()
                return

        self._watch(call.inbox)

    def _watch(self, inbox: Inbox) -> None:
        """Look again, in a moment, whether one thread is enough."""
        if not inbox.is_watched:
            inbox.is_watched = True
            inbox.loop.call_later(SHARE_SECONDS, self._look, inbox, self._taken)

    def _look(self, inbox: Inbox, taken: int) -> None:
        inbox.is_watched = False
        inbox.look()

        with self._lock:
            missing = self._ready() - self._coming
            # Where not even the one has come, more of them would not come sooner.
            is_early = self._coming > 0 or self._taken - taken >= QUICK_CALLS

            if not is_early:
                for _ in range(missing):
                    if not self._summon():
                        return

        if is_early and missing > 0:
            self._watch(inbox)

    def _let_go(self, call: Call) -> None:
        with self._lock:
            waiting = self._waiting_long if call.is_long else self._waiting

            if waiting.pop(call.number, None) is not None or call.has_ended:
                return

            call.is_abandoned = True
            call.is_cancelled = self._ends_statements
            self._abandoned += 1
            is_news = self._abandoned == self._most and not self._said_all_abandoned
            self._said_all_abandoned |= is_news
            worker = call.worker

        if call.is_cancelled and worker is not None:
            canceller().end(worker.checkout, call)

        if is_news:
            logger.error(
                "all %d threads of %r are at calls that nobody waits for any more; "
                "others wait until one of them ends. Give slow calls a timeout of "
                "their own, or let them ask offload.is_cancelled().",
                self._most,
                self._name,
            )

    # What workers ask, in their threads.

    def take(self, worker: Worker, ended: Call | None) -> Call | None:
        with self._lock:
            if ended is None:
                self._coming -= 1
            else:
                self._end(ended)

            return self._next(worker)

    def park(self, worker: Worker) -> Call | None:
        with self._lock:
            call = self._next(worker)

            if call is None and not self._is_closed:
                self._idle.append(worker)

            return call

    def is_over(self) -> bool:
        return self._is_closed

    # With the lock.

    def _summon(self) -> bool:
        """Have one more thread come. False where there is none."""
        if self._idle:
            # The last one: its connections are the freshest.
            self._idle.pop().ring()
        elif len(self._workers) < self._most:
            worker = Worker(self, f"{self._name}-{len(self._workers) + 1}")
            worker.thread.start()
            self._workers.append(worker)
        else:
            return False

        self._coming += 1

        return True

    def _ready(self) -> int:
        """The calls that a thread could take now."""
        room = self._most_long - self._running_long

        return len(self._waiting) + min(len(self._waiting_long), room)

    def _next(self, worker: Worker) -> Call | None:
        waiting = self._waiting

        if (
            self._waiting_long
            and self._running_long < self._most_long
            and (not waiting or next(iter(self._waiting_long)) < next(iter(waiting)))
        ):
            waiting = self._waiting_long

        if not waiting:
            return None

        _, call = waiting.popitem(last=False)
        call.worker = worker
        self._running[call.number] = call
        self._running_long += call.is_long
        self._taken += 1

        return call

    def _end(self, call: Call) -> None:
        call.has_ended = True
        del self._running[call.number]
        self._running_long -= call.is_long
        self._abandoned -= call.is_abandoned

        if self._abandoned == 0:
            self._said_all_abandoned = False

    def _join(self, worker: Worker) -> None:
        until = time.monotonic() + CLOSE_SECONDS

        while (
            worker.thread.is_alive() and worker.thread is not threading.current_thread()
        ):
            worker.thread.join(0.1)

            with self._lock:
                is_abandoned = any(
                    call.worker is worker and call.is_abandoned
                    for call in self._running.values()
                )

            if is_abandoned and time.monotonic() > until:
                return
