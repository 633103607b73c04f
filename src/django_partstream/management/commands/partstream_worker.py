"""`manage.py partstream_worker`: a process that works on jobs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError

from django_partstream import conf
from django_partstream.jobs import heartbeat
from django_partstream.jobs.bench import open_bench
from django_partstream.jobs.queue import GRACE_SECONDS, QUEUES, Queue, make_queue

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ("Command",)

#: How long a thread keeps the interpreter that another one wants.
SWITCH_SECONDS = 0.0005


class Command(BaseCommand):
    help = (
        "Work on jobs until SIGTERM or SIGINT; then the batch in hand is committed, "
        "the job is given back and the process exits 0. A second signal exits at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--queue",
            help="Where to look for jobs, whatever PARTSTREAM['QUEUE'] says: "
            f"{', '.join(sorted(set(QUEUES) - {'embedded'}))} or the path of a class. "
            "Workers of several queues may run at once.",
        )
        parser.add_argument(
            "--concurrency",
            type=int,
            default=1,
            help="How many jobs this process works on side by side (default 1).",
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE_SECONDS,
            metavar="SECONDS",
            help="How long a batch in hand may take to end when the process is told "
            f"to (default {GRACE_SECONDS:.0f}). One that takes longer is rolled back, "
            "and its job goes on elsewhere when its lease has run out.",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="Work off the jobs that wait, those of one another's slices too, and "
            "exit.",
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="Do no work: exit 0 if a worker of this host is alive, 1 if not. "
            "For the probe of a container.",
        )

    def handle(
        self,
        *args: Any,
        queue: str | None,
        concurrency: int,
        grace: float,
        once: bool,
        check: bool,
        **options: Any,
    ) -> None:
        if check:
            self._check()
            return

        name = queue or conf.current().queue

        if name == "embedded" and not once:
            raise CommandError(
                "PARTSTREAM['QUEUE'] is 'embedded': jobs run in the serving process, "
                "and no worker is needed. Set it to 'database' or 'arq' to run "
                "workers, or start this one with --queue database."
            )

        if concurrency < 1:
            raise CommandError(f"--concurrency is {concurrency}; expected at least 1.")

        if grace < 0:
            raise CommandError(f"--grace is {grace}; expected seconds, 0 or more.")

        async def work(stop: asyncio.Event) -> None:
            if once:
                await _work_off(stop, concurrency, grace)
            else:
                await _queue(name).work(
                    stop, concurrency=concurrency, grace_seconds=grace
                )

        self.stdout.write(f"partstream worker {os.getpid()}: queue {name}")

        with _switching_often():
            asyncio.run(_until_told(work))

    def _check(self) -> None:
        """Raise CommandError, which is exit code 1, unless a worker lives here."""
        host = socket.gethostname()

        try:
            alive = heartbeat.alive().filter(name__startswith=f"{host}:").count()
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The database does not answer: {error}") from error

        if not alive:
            raise CommandError(f"No worker of {host} was heard of lately.")

        self.stdout.write(f"{alive} of {host} alive")


@contextlib.contextmanager
def _switching_often() -> Iterator[None]:
    """Whoever comes back from the database waits no longer than this for a thread that
    reads ahead; by default, ten times as long after each statement."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)

    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _queue(name: str) -> Queue:
    if name == "arq" and conf.current().redis_url is None:
        raise CommandError("The queue 'arq' needs PARTSTREAM['REDIS_URL'].")

    try:
        return make_queue(name)
    except ImportError as error:
        raise CommandError(f"There is no queue {name!r}: {error}") from error


async def _work_off(stop: asyncio.Event, concurrency: int, grace: float) -> None:
    # Whatever the queue, the table has all of them.
    async with (
        open_bench(stop, threads=concurrency, grace_seconds=grace) as bench,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(concurrency):
            group.create_task(bench.work_off())


async def _until_told(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)

        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    await work(stop)
