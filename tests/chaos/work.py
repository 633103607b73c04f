"""Work whose effects show how often they were done: rows that nothing keeps from being
there twice, and `hits = hits + 1`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import connections

from django_partstream.jobs import states
from django_partstream.jobs.crash_points import Point, reached
from django_partstream.jobs.work import Budget, Step, Tally, WorkRefusedError, register
from django_partstream.models import Job

KIND = "chaos"
#: Counters of one job.
SLOTS = 5
#: Of a row of a job that must not end yet.
CRAWL_SECONDS = 0.1

TABLES = (
    "CREATE TABLE chaos_effect (job varchar(36), number integer)",
    "CREATE TABLE chaos_counter (job varchar(36), slot integer, hits integer)",
)


class ChaosWork:
    """As many rows in a step as `spec` says; every seventh row is refused.

    From the row `crawls_at` on it is one at a time, and slowly, until the file `hurry`
    is there: however late a test gets a turn, the job has not ended without it.
    """

    def __init__(self, job: Job) -> None:
        self.using = states.jobs().db
        self._job = job

        if job.spec.get("refused"):
            raise WorkRefusedError("Nobody may do this.")

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        spec = self._job.spec
        first = int(cursor.get("row", 0)) + 1
        crawls = is_crawling(spec, first)
        rows = 1 if crawls else spec.get("rows", 5)
        pause = spec.get("seconds", 0.0)
        pause = spec.get("crawl_seconds", CRAWL_SECONDS) if crawls else pause
        last = min(first + rows - 1, self._job.total)
        failures: list[dict[str, Any]] = []

        if "tells" in spec:
            Path(spec["tells"]).touch()

        if "meets" in spec:
            meet(Path(spec["meets"]), spec["workers"])

        for number in range(first, last + 1):
            if number == spec.get("raises_at"):
                raise RuntimeError(f"row {number}")

            if number == spec.get("dies_at"):
                os._exit(9)

            if number % 7 == 0:
                failures.append({"row": number, "data": {"n": number}, "error": "7"})
            else:
                self._take_effect(number)

            # Within a transaction, most of the time: there the moments fall.
            time.sleep(pause)

            if number == first:
                reached(Point.WITHIN_STEP)

        done = last - first + 1 - len(failures)

        return Step(
            cursor={"row": last},
            done=last >= self._job.total,
            tally=Tally(created=done, failed=len(failures)),
            failures=tuple(failures),
        )

    def _take_effect(self, number: int) -> None:
        job = str(self._job.pk)

        with connections[self.using].cursor() as cursor:
            cursor.execute("INSERT INTO chaos_effect VALUES (%s, %s)", [job, number])
            cursor.execute(
                "UPDATE chaos_counter SET hits = hits + 1 WHERE job = %s AND slot = %s",
                [job, number % SLOTS],
            )


def is_crawling(spec: Mapping[str, Any], row: int) -> bool:
    return (
        "hurry" in spec
        and row >= spec["crawls_at"]
        and not Path(spec["hurry"]).exists()
    )


def meet(place: Path, workers: int) -> None:
    """Wait until so many workers are in the midst of a batch."""
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 60.0

    while len(list(place.iterdir())) < workers:
        assert time.monotonic() < deadline, f"{workers} workers did not meet"
        time.sleep(0.005)


register(KIND, ChaosWork)
