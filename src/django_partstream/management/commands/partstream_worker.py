"""`manage.py partstream_worker`: a process that works on jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from django_partstream import conf
from django_partstream.jobs.queue import Queue, get_queue

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = ("Command",)


class Command(BaseCommand):
    help = (
        "Work on jobs until SIGTERM or SIGINT; then the batch in hand is committed, "
        "the job is given back and the process exits 0. A second signal exits at once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=1,
            help="How many jobs this process works on side by side (default 1).",
        )

    def handle(self, *args: Any, concurrency: int, **options: Any) -> None:
        name = conf.current().queue

        if name == "embedded":
            raise CommandError(
                "PARTSTREAM['QUEUE'] is 'embedded': jobs run in the serving process, "
                "and no worker is needed. Set it to 'database' or 'arq' to run workers."
            )

        if concurrency < 1:
            raise CommandError(f"--concurrency is {concurrency}; expected at least 1.")

        self.stdout.write(f"partstream worker {os.getpid()}: queue {name}")
        asyncio.run(_work(get_queue(), concurrency))


async def _work(queue: Queue, concurrency: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)

        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)

    await queue.work(stop, concurrency=concurrency)
