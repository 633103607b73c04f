"""One slice of one job: claimed, stepped batch by batch, released or ended.

Sync code, run in a thread. What makes effects exactly once is in `_commit`: the job's
row is locked and checked first, and the rows, the ledger and the new cursor are one
transaction.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import time
import zlib
from typing import TYPE_CHECKING, Any

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    reset_queries,
    router,
    transaction,
)
from django.db.models import F
from django.db.models.functions import Now

from django_partstream import conf, encoding, time_limit
from django_partstream.models import Job, JobBatch, State

from . import ledger, observer, states
from .crash_points import Point, reached
from .progress import INLINE_ERRORS, INLINE_IDS
from .work import Budget, Step, Work, WorkRefusedError, work_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

__all__ = ("Pace", "SliceEnd", "run_slice")

logger = logging.getLogger(__name__)


class SliceEnd(enum.Enum):
    """Why a slice ended."""

    #: The job is finished, or somebody else has it.
    NOT_CLAIMED = enum.auto()
    #: The job reached its end, good or bad.
    FINISHED = enum.auto()
    #: Time was up, or the worker is stopping: another slice goes on.
    RELEASED = enum.auto()
    #: The lease went to another worker, or the job was cancelled.
    LOST = enum.auto()
    #: The database did not answer; the sweeper will hand the job out again.
    INTERRUPTED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a slice shares the machine. Seconds."""

    #: The whole slice.
    slice: float = 60.0
    #: One commit.
    commit: float = 1.0
    #: Between two commits, for other writers of a database that has one at a time.
    pause: float = 0.0


class _FenceLostError(Exception):
    """The job is no longer ours."""


@dataclasses.dataclass(slots=True)
class _Rate:
    """Rows per second since this slice began."""

    started: float
    rows: int = 0

    def add(self, rows: int) -> float:
        self.rows += rows

        return self.rows / max(time.monotonic() - self.started, 1e-3)


@observer.slices
def run_slice(
    job_id: UUID,
    *,
    worker: str,
    pace: Pace,
    stopping: Callable[[], bool],
    on_change: Callable[[Job], None],
) -> SliceEnd:
    """Work on a job until it ends, the slice's time is up or `stopping()` says so.

    `on_change` is told the job after each commit. Any number of workers may call this
    for the same job at any time, in any order: one of them works.
    """
    job = states.claim(job_id, worker)

    if job is None:
        return SliceEnd.NOT_CLAIMED

    log = {"job_id": str(job_id)}
    on_change(job)

    if job.attempts > states.MAX_ATTEMPTS:
        return _fail(
            job,
            f"The job was given up at row {job.current + 1}: {states.MAX_ATTEMPTS} "
            "workers in a row ended there without getting any further.",
            on_change,
        )

    try:
        return _work(job, work_of(job), pace, stopping, on_change)
    except _FenceLostError:
        logger.info("job %s: the lease is lost", job_id, extra=log)
        return SliceEnd.LOST
    except (OperationalError, InterfaceError):
        logger.warning("job %s: interrupted", job_id, exc_info=True, extra=log)
        return SliceEnd.INTERRUPTED
    except WorkRefusedError as error:
        logger.warning("job %s: refused: %s", job_id, error, extra=log)
        return _fail(job, str(error), on_change)
    except Exception:
        logger.exception("job %s failed", job_id, extra=log)
        return _fail(
            job,
            f"The job failed after row {job.current}: an error of the application, "
            "which is in its log. The rows before are written.",
            on_change,
        )


def _work(
    job: Job,
    work: Work,
    pace: Pace,
    stopping: Callable[[], bool],
    on_change: Callable[[Job], None],
) -> SliceEnd:
    _check_alias(work)
    rate = _Rate(time.monotonic())
    slice_budget = Budget.of(pace.slice)

    while not (slice_budget.spent or stopping()):
        done = _commit(job, work, Budget.of(pace.commit), rate)
        job.refresh_from_db(using=work.using)
        on_change(job)

        if done:
            return SliceEnd.FINISHED

        time.sleep(pace.pause)

    states.release(job)

    return SliceEnd.RELEASED


def _check_alias(work: Work) -> None:
    # Exactly once holds within one transaction, so within one database.
    home = router.db_for_write(Job) or DEFAULT_DB_ALIAS

    if work.using != home:
        raise WorkRefusedError(
            f"The job's rows are in the database {home!r} and its target in "
            f"{work.using!r}; they must be in the same one."
        )


def _commit(job: Job, work: Work, budget: Budget, rate: _Rate) -> bool:
    """One batch, whole or not at all. True when it was the last."""
    # With DEBUG on, Django would keep the SQL of the whole slice.
    reset_queries()
    began = time.monotonic()

    reached(Point.BEFORE_LOCK)

    with transaction.atomic(using=work.using, durable=True):
        _lock(job)
        reached(Point.AFTER_LOCK)

        with time_limit.limited(work.using, conf.current().query_timeout_seconds):
            step = work.step(job.cursor, budget)

        reached(Point.AFTER_STEP)

        if not step.done and step.cursor == job.cursor:
            raise RuntimeError("the step moved nothing and is not done")

        _record(job, step)
        reached(Point.AFTER_RECORD)
        _advance(job, step, rate.add(step.tally.total))
        reached(Point.AFTER_ADVANCE)

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

    return step.done


def _held(job: Job) -> Any:
    return states.jobs().filter(
        pk=job.pk, epoch=job.epoch, batches=job.batches, state=State.PROGRESS
    )


def _lock(job: Job) -> None:
    """Take the row's lock, and only as its owner: first, so that two workers can never
    write rows of one job at the same time, and that a cancel waits for us or wins."""
    lease = states.after(conf.current().lease_seconds)

    if not _held(job).update(lease_until=lease):
        raise _FenceLostError


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
        failures=zlib.compress(lines) if lines else b"",
        successes=ledger.pack(step.kinds, step.pks),
        output=zlib.compress(step.output) if step.output else b"",
    )


def _advance(job: Job, step: Step, rate: float) -> None:
    changes: dict[str, Any] = {
        "cursor": dict(step.cursor),
        "batches": F("batches") + 1,
        "seq": F("seq") + 1,
        "attempts": 0,
        "rate": rate,
        "current": F("current") + step.tally.total,
        "created": F("created") + step.tally.created,
        "updated": F("updated") + step.tally.updated,
        "unchanged": F("unchanged") + step.tally.unchanged,
        "deleted": F("deleted") + step.tally.deleted,
        "failed": F("failed") + step.tally.failed,
        "lease_until": states.after(conf.current().lease_seconds),
    }
    sample = _sample(job, step)

    if sample != job.sample:
        changes["sample"] = sample

    if step.done:
        changes |= {
            "state": State.SUCCESS,
            "finished_at": Now(),
            "lease_until": None,
        }

    if not _held(job).update(**changes):
        raise _FenceLostError


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


def _fail(job: Job, message: str, on_change: Callable[[Job], None]) -> SliceEnd:
    try:
        failed = states.fail(job, message)
    except DatabaseError:
        log = {"job_id": str(job.pk)}
        logger.warning("job %s: interrupted", job.pk, exc_info=True, extra=log)
        return SliceEnd.INTERRUPTED

    if not failed:
        return SliceEnd.LOST

    job.refresh_from_db(using=states.jobs().db)
    on_change(job)

    return SliceEnd.FINISHED
