"""What sync code publishes, sent without making it wait."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from . import hub

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("send",)

logger = logging.getLogger(__name__)

#: How long the thread waits for something more to send before it ends.
LINGER_SECONDS = 1.0
#: How soon it notices that the process is to end.
NOTICE_SECONDS = 0.05
#: Groups whose message may wait; a layer that is down must not fill the memory.
MAX_WAITING = 10_000
#: Sent at a time: each may take a second.
BATCH = 100


class _Waiting:
    """The newest message of each group that was not sent yet, and a thread that sends
    them.

    The thread, which has a loop of its own because a channel layer needs one, lives for
    as long as there is something to send. It is no daemon: what a management command
    published last is sent before its process ends.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._thread: threading.Thread | None = None

    def put(self, group: str, message: Mapping[str, Any]) -> None:
        with self._condition:
            self._waiting[group] = message

            if len(self._waiting) > MAX_WAITING:
                lost = next(iter(self._waiting))
                del self._waiting[lost]
                logger.warning("too much to publish: a message to %r is lost", lost)

            if self._thread is not None:
                self._condition.notify()
                return

            thread = threading.Thread(target=self._run, name="partstream-publishing")
            # Raises where the interpreter is ending.
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while batch := self._next():
                runner.run(_send_all(batch))

    def _next(self) -> dict[str, Mapping[str, Any]]:
        """What to send now; nothing when the thread is to end."""
        with self._condition:
            patience = LINGER_SECONDS

            while not self._waiting and patience > 0 and _main_thread_runs():
                self._condition.wait(NOTICE_SECONDS)
                patience -= NOTICE_SECONDS

            batch = dict(list(self._waiting.items())[:BATCH])

            for group in batch:
                del self._waiting[group]

            if not batch:
                # Whoever comes from here on begins another.
                self._thread = None

            return batch


def _main_thread_runs() -> bool:
    return threading.main_thread().is_alive()


async def _send_all(batch: Mapping[str, Mapping[str, Any]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for group, message in batch.items():
            tasks.create_task(hub.publish(group, message))


_waiting = _Waiting()


def send(group: str, message: Mapping[str, Any]) -> None:
    """Publish to the group, from any thread, without waiting and without raising.

    Of several messages to one group that wait to be sent, the last is sent.
    """
    if hub.ends_here():
        hub.deliver_here(group, message)
        return

    try:
        _waiting.put(group, message)
    except RuntimeError as error:
        logger.warning("a message to %r is lost: %s", group, error)


def _forget() -> None:
    """Begin anew in a forked process, which has none of the threads."""
    global _waiting

    _waiting = _Waiting()


os.register_at_fork(after_in_child=_forget)
