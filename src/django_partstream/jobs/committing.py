"""One batch of a job, whole or not at all: what makes its effects exactly once.

The job's row is locked and checked first, and the rows, the ledger and the new cursor
are one transaction.
"""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Any

from django.db import connections, reset_queries, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from django_partstream import conf, encoding
from django_partstream.models import JobBatch, JobCancel, State

from . import ledger, observer, states
from .crash_points import Point, reached
from .progress import INLINE_ERRORS, INLINE_IDS
from .table import SEQ_STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_partstream.models import Job

    from .work import Step

__all__ = ("FenceLostError", "Rate", "commit", "failures_left")


#: The `code` of a job that has more failed rows than it may.
TOO_MANY = "too_many_errors"


class FenceLostError(Exception):
    """The job is no longer ours, or somebody wants to cancel it."""


class Rate:
    """Rows per second since this slice began."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._rows = 0

    def add(self, rows: int) -> float:
        self._rows += rows

        return self._rows / max(time.monotonic() - self._started, 1e-3)


def commit(
    job: Job,
    do: Callable[[], Step],
    *,
    rate: Rate,
    narrow: Callable[[int], int | None],
) -> Step:
    """Do one step in a transaction that holds the job's row, and write it down.

    `narrow` is told how many rows the step had, and gives `narrowed_to`. Afterwards
    `job` says what its row says. Raises FenceLostError; then, and whenever this
    raises, nothing was written, unless what broke was the COMMIT itself.
    """
    # With DEBUG on, Django would keep the SQL of the whole slice.
    reset_queries()
    using = states.jobs().db
    began = time.monotonic()
    reached(Point.BEFORE_LOCK)

    with transaction.atomic(using=using, durable=True):
        _bound(using)
        _lock(job)
        reached(Point.AFTER_LOCK)
        step = do()
        reached(Point.AFTER_STEP)

        if not step.done and step.cursor == job.cursor:
            raise RuntimeError("the step moved nothing and is not done")

        _record(job, step)
        reached(Point.AFTER_RECORD)
        rows = step.tally.total
        changes = _advance(job, step, rate.add(rows), narrow(rows))
        reached(Point.AFTER_ADVANCE)

    for name, value in changes.items():
        setattr(job, name, value)

    reached(Point.AFTER_COMMIT)
    observer.notify(
        observer.JobEvent(
            kind="committed",
            job_id=job.pk,
            work=job.kind,
            seconds=time.monotonic() - began,
            tally=step.tally,
        )
    )

    return step


def _bound(using: str) -> None:
    """A process that was stopped inside this transaction, or cut off, must not hold
    its locks for much longer than its lease; nor may we wait so long for others."""
    connection = connections[using]

    if connection.vendor != "postgresql":
        return

    lease = conf.current().lease_seconds

    with connection.cursor() as cursor:
        # For this transaction only, so that a pooler's next client does not see it.
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true),"
            " set_config('idle_in_transaction_session_timeout', %s, true),"
            # Inside COPY a session is not idle.
            " set_config('statement_timeout', %s, true)",
            [_milliseconds(lease / 2), _milliseconds(lease), _milliseconds(3 * lease)],
        )


def _milliseconds(seconds: float) -> str:
    return f"{max(1, int(seconds * 1000))}ms"


def _held(job: Job) -> Any:
    return states.held(job).filter(batches=job.batches)


def _lock(job: Job) -> None:
    """Take the row's lock, and only as its owner: first, so that two workers can never
    write rows of one job at the same time, and that a cancel waits for us or wins."""
    lease = states.after(conf.current().lease_seconds)
    cancels = JobCancel.objects.filter(job_id=OuterRef("pk"))

    if not _held(job).filter(~Exists(cancels)).update(lease_until=lease):
        raise FenceLostError


def _record(job: Job, step: Step) -> None:
    if not step.tally.total:
        return

    lines = b"".join(encoding.encode(failure) + b"\n" for failure in step.failures)
    JobBatch.objects.using(states.jobs().db).create(
        job=job,
        number=job.batches + 1,
        epoch=job.epoch,
        first_row=job.current + 1,
        last_row=job.current + step.tally.total,
        created=step.tally.created,
        updated=step.tally.updated,
        unchanged=step.tally.unchanged,
        deleted=step.tally.deleted,
        failed=step.tally.failed,
        failures=zlib.compress(lines, 1) if lines else b"",
        successes=ledger.pack(step.kinds, step.pks),
        output=zlib.compress(step.output, 1) if step.output else b"",
    )


def _advance(
    job: Job, step: Step, rate: float, narrowed_to: int | None
) -> dict[str, Any]:
    """Move the row on. Returns what it says now, as far as that is known here."""
    # Absolute, since nobody else can have changed them: the row is locked and its
    # epoch is ours.
    changes: dict[str, Any] = {
        "cursor": dict(step.cursor),
        "batches": job.batches + 1,
        "seq": job.seq + SEQ_STEP,
        "attempts": 0,
        "begun": 0,
        "narrowed_to": narrowed_to,
        "rate": rate,
        "current": job.current + step.tally.total,
        "created": job.created + step.tally.created,
        "updated": job.updated + step.tally.updated,
        "unchanged": job.unchanged + step.tally.unchanged,
        "deleted": job.deleted + step.tally.deleted,
        "failed": job.failed + step.tally.failed,
    }
    sample = _sample(job, step)

    if sample != job.sample:
        changes["sample"] = sample

    lease: Any = states.after(conf.current().lease_seconds)
    finished: Any = None

    if (failures := _too_many_failures(job, changes)) is not None:
        changes |= {"state": State.FAILURE, "message": failures, "code": TOO_MANY}
    elif step.done:
        changes["state"] = State.SUCCESS

    if "state" in changes:
        lease, finished = None, Now()
        changes["narrowed_to"] = None

    if not _held(job).update(**changes, lease_until=lease, finished_at=finished):
        raise FenceLostError

    return changes


def failures_left(job: Job) -> int | None:
    """How many more rows may fail before the job is stopped; None: all may."""
    limit = job.spec.get("max_errors")

    return None if limit is None else max(0, int(limit) - job.failed)


def _too_many_failures(job: Job, changes: dict[str, Any]) -> str | None:
    limit = job.spec.get("max_errors")

    if limit is None or changes["failed"] <= limit:
        return None

    rows = "1 row has" if changes["failed"] == 1 else f"{changes['failed']} rows have"
    left = max(0, job.total - changes["current"])

    return (
        f"The job was stopped after {changes['current']} rows: {rows} failed, and "
        f"max_errors allows {limit}. The others of these are written; {left} rows were "
        "not processed."
    )


def _sample(job: Job, step: Step) -> dict[str, Any]:
    sample = dict(job.sample)

    for key, more, limit in (
        ("created_ids", step.created_ids, INLINE_IDS),
        ("updated_ids", step.updated_ids, INLINE_IDS),
        ("deleted_ids", step.deleted_ids, INLINE_IDS),
        ("errors", step.failures, INLINE_ERRORS),
    ):
        have = sample.get(key, [])
        room = limit - len(have)

        if room > 0 and more:
            sample[key] = [*have, *more[:room]]

    return sample
