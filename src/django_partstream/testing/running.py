"""Jobs run to their end inside a test, by the test's own thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.db import connections

from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import State

if TYPE_CHECKING:
    from django_partstream.models import Job

__all__ = ("arun_jobs", "run_jobs")


def run_jobs(*, rescue: bool = False, seconds: float = 60.0) -> list[Job]:
    """Work on every job that is due until none is; the jobs as they are then, in the
    order in which their work began.

    The calling thread does it, on its own connection: inside Django's `TestCase` the
    rows of the test are seen, and what the jobs write is rolled back with it. A job
    that waits for its time (`not_before`) is left alone. With `rescue` those are done
    as well whose worker died, as `crash_at` has it, without waiting for its lease.
    Raises TimeoutError where some are still due after `seconds`.
    """
    if rescue:
        _expire_leases()

    deadline = time.monotonic() + seconds
    worked_on: list[Job] = []

    try:
        while (job_id := states.waiting()) is not None:
            if time.monotonic() >= deadline:
                raise TimeoutError(
                    f"Jobs are still due after {seconds:g} s, among them {job_id}. "
                    "Give run_jobs() more seconds, or the jobs fewer rows."
                )

            run_slice(
                job_id,
                worker="django_partstream.testing",
                pace=Pace(),
                stopping=lambda: time.monotonic() >= deadline,
                on_change=lambda job: None,
            )
            worked_on += [
                job for job in states.jobs().filter(pk=job_id) if job not in worked_on
            ]
    finally:
        _lift_bounds()

    for job in worked_on:
        job.refresh_from_db(using=states.jobs().db)

    return worked_on


async def arun_jobs(*, rescue: bool = False, seconds: float = 60.0) -> list[Job]:
    """`run_jobs()` for tests that are coroutines, in the thread that they share with
    the ORM's other calls."""
    return await sync_to_async(run_jobs)(rescue=rescue, seconds=seconds)


def _expire_leases() -> None:
    held = states.jobs().filter(state=State.PROGRESS, lease_until__isnull=False)
    held.update(lease_until=states.after(-1.0))


def _lift_bounds() -> None:
    """A batch bounds its transaction's time, and here that may be the test's."""
    connection = connections[states.jobs().db]

    if connection.vendor != "postgresql" or not connection.in_atomic_block:
        return

    # A transaction that failed takes no more statements, and ends soon.
    if not connection.needs_rollback:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', '0', true),"
                " set_config('idle_in_transaction_session_timeout', '0', true),"
                " set_config('statement_timeout', '0', true)"
            )
