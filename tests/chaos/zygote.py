"""Processes to be killed, each forked from one that has everything imported:
`python -m tests.chaos.zygote`, orders and answers as lines of JSON.

A fresh interpreter for each would take a second; a fork takes some milliseconds, and
dies of SIGKILL as well as any other.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from arq.cli import cli

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.chaos.settings")
django.setup()

from django.conf import settings  # noqa: E402 - after the setup
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from django_partstream import conf  # noqa: E402
from django_partstream.jobs import arq_queue, states, submit  # noqa: E402, F401
from django_partstream.jobs.execute import Pace, run_slice  # noqa: E402
from django_partstream.jobs.observer import JobEvent, observe_jobs  # noqa: E402
from django_partstream.jobs.queue import get_queue  # noqa: E402
from django_partstream.testing import crash_at  # noqa: E402
from tests.chaos import history  # noqa: E402
from tests.chaos.work import KIND, TABLES  # noqa: E402

Order = dict[str, Any]
PR_SET_PDEATHSIG = 1


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)

        if order["do"] == "wait":
            answer = os.waitpid(order["pid"], 0)[1]
        else:
            sys.stdout.flush()
            answer = os.fork()

            if answer == 0:
                run(order)

        print(answer, flush=True)  # noqa: T201 - the answer to the order


def run(order: Order) -> None:
    """Do what is ordered, in this process, and end it."""
    code = 1
    # Nobody would end it if the zygote, and who asked it, were killed.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        obey(order)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def obey(order: Order) -> None:
    given = getattr(settings, "PARTSTREAM", {})
    settings.PARTSTREAM = {**given, **order.get("partstream", {})}
    conf.current.cache_clear()
    get_queue.cache_clear()

    if "port" in order:
        connections.settings["default"]["PORT"] = str(order["port"])

    if "skew" in order:
        skew(order["skew"])

    history.write_to(order["history"])

    if "holds" in order:
        observe_jobs(holding(**order["holds"]))

    with contextlib.ExitStack() as stack:
        if "crash" in order:
            stack.enter_context(crash_at(**order["crash"]))

        ORDERS[order["do"]](order)


def skew(seconds: float) -> None:
    """Set the clock that Python shows to this process."""
    real, real_now = time.time, timezone.now
    time.time = lambda: real() + seconds
    timezone.now = lambda: real_now() + datetime.timedelta(seconds=seconds)


def holding(at: int, until: str) -> Callable[[JobEvent], None]:
    """Has a job that has come to the row `at` wait for the file `until`."""
    file = Path(until)

    def look(event: JobEvent) -> None:
        if event.kind != "committed" or file.exists():
            return

        job = states.jobs().only("current").get(pk=event.job_id)

        while job.current >= at and not file.exists():
            time.sleep(0.005)

    return look


def migrate(order: Order) -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)

    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)


def work(order: Order) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    call_command("partstream_worker", **order.get("options", {}))


def arq(order: Order) -> None:
    """arq's own command, in a process that has imported everything."""
    cli.main([order["settings"]], standalone_mode=False)


def slice_(order: Order) -> None:
    """One slice of one job; of one batch where `batches` says so."""
    batches = 0

    def on_change(_: Any) -> None:
        nonlocal batches
        batches += 1

    run_slice(
        UUID(order["job"]),
        worker=f"chaos:{os.getpid()}",
        pace=Pace(commit=0.001),
        stopping=lambda: batches > order.get("batches", 10**9),
        on_change=on_change,
    )


def submit_(order: Order) -> None:
    submit.submit(
        kind=KIND,
        owner=None,
        spec=order["spec"],
        total=order["total"],
        stream=io.BytesIO(b"a,b\n" * 1000),
    )


def post(order: Order) -> None:
    """Send a CSV file, to become a job."""
    answer: Any = Client(SERVER_NAME="localhost").post(
        order["address"],
        Path(order["file"]).read_bytes(),
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.content


def cancel(order: Order) -> None:
    states.cancel(UUID(order["job"]))


ORDERS = {
    "arq": arq,
    "cancel": cancel,
    "migrate": migrate,
    "post": post,
    "slice": slice_,
    "submit": submit_,
    "work": work,
}

if __name__ == "__main__":
    main()
