"""Workers that die of a row: `python -m tests.jobs.poisoned JOB HOW`.

One after another, each forked so that it costs little. Prints how each ended.
"""

from __future__ import annotations

import datetime
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.utils import timezone  # noqa: E402 - after the setup

from django_partstream.jobs import states  # noqa: E402
from django_partstream.jobs.execute import Pace, run_slice  # noqa: E402
from django_partstream.models import State  # noqa: E402
from tests.app.serializers import ContractSerializer  # noqa: E402

MIB = 1024 * 1024

POISON = "C37"
#: The exit status of a worker after whose slice the job has ended.
ENDED = 10


def exit_at_once() -> None:
    os._exit(77)


def take_all_memory() -> None:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
    size = int(pages) * resource.getpagesize()
    # For the process alone, which has room for anything but this row.
    resource.setrlimit(resource.RLIMIT_AS, (size + 128 * MIB, size + 128 * MIB))
    bytearray(512 * MIB)


HOW = {"exit": exit_at_once, "memory": take_all_memory}


def work(job_id: str, how: str) -> int:
    def validate_number(self: Any, number: str) -> str:
        if number == POISON:
            HOW[how]()

        return number

    ContractSerializer.validate_number = validate_number  # type: ignore[attr-defined]
    # As if a lease's time had gone by since the last one died.
    past = timezone.now() - datetime.timedelta(seconds=1)
    row = states.jobs().filter(pk=job_id)
    row.filter(lease_until__isnull=False).update(lease_until=past)
    run_slice(
        row.get().pk,
        worker=f"test:{os.getpid()}",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )

    return ENDED if State(row.get().state).terminal else 0


def main(job_id: str, how: str) -> list[int]:
    ends: list[int] = []

    while ENDED not in ends and len(ends) < 20:
        child = os.fork()

        if child == 0:
            os._exit(work(job_id, how))

        _, status = os.waitpid(child, 0)
        ends.append(os.waitstatus_to_exitcode(status))

    return ends


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201 - the answer
