"""One slice of one job: claimed, stepped batch by batch, released or ended.

Sync code, run in a thread. What is done with errors is decided here; that a batch is
whole or not at all, in `committing`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import logging
import time
from typing import TYPE_CHECKING, Any

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    connections,
    router,
)

from django_partstream import conf, time_limit
from django_partstream.models import Job, State

from . import observer, poison, states
from .committing import FenceLostError, Rate, commit, failures_left
from .interruptions import Setbacks, is_interruption
from .suspicion import Suspicion
from .telling import with_signal
from .work import (
    Budget,
    ClosingWork,
    SkippingWork,
    Step,
    Work,
    WorkPostponedError,
    WorkRefusedError,
    work_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    #: It cannot go on here and now: another slice goes on, but not at once.
    POSTPONED = enum.auto()
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
    #: A slice that has taken so long ends when jobs of others wait.
    turn: float = 5.0


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
    on_change = with_signal(on_change)
    job = states.claim(job_id, worker)

    if job is None:
        return SliceEnd.NOT_CLAIMED

    log = {"job_id": str(job_id)}
    on_change(job)

    if job.attempts >= states.MAX_ATTEMPTS:
        return _fail(
            job,
            f"The job was given up at row {job.current + 1}: {states.MAX_ATTEMPTS} "
            "workers in a row ended there without getting any further.",
            "given_up",
            on_change,
        )

    try:
        with _closing(work_of(job)) as work:
            _check_alias(work)

            return _Slice(job, work, pace, stopping, on_change).run()
    except WorkPostponedError as error:
        logger.warning("job %s: postponed: %s", job_id, error, extra=log)
        return _postpone(job, str(error), on_change)
    except WorkRefusedError as error:
        logger.warning("job %s: refused: %s", job_id, error, extra=log)
        return _fail(job, str(error), error.code, on_change)
    except Exception as error:
        if is_interruption(error):
            logger.warning("job %s: interrupted", job_id, exc_info=True, extra=log)
            return _interrupted(job)

        logger.exception("job %s failed", job_id, extra=log)
        return _fail(
            job,
            f"The job failed after row {job.current}: an error of the application, "
            "which is in its log. The rows before are written.",
            "application_error",
            on_change,
        )


@contextlib.contextmanager
def _closing(work: Work) -> Iterator[Work]:
    try:
        yield work
    finally:
        if isinstance(work, ClosingWork):
            work.close()


def _check_alias(work: Work) -> None:
    # Exactly once holds within one transaction, so within one database.
    home = router.db_for_write(Job) or DEFAULT_DB_ALIAS

    if work.using != home:
        raise WorkRefusedError(
            f"The job's rows are in the database {home!r} and its target in "
            f"{work.using!r}; they must be in the same one.",
            code="other_database",
        )


class _Slice:
    """A claimed job, worked on batch by batch."""

    def __init__(
        self,
        job: Job,
        work: Work,
        pace: Pace,
        stopping: Callable[[], bool],
        on_change: Callable[[Job], None],
    ) -> None:
        self._job = job
        self._work = work
        self._pace = pace
        self._stopping = stopping
        self._on_change = on_change
        self._rate = Rate()
        self._suspicion = Suspicion(job)
        self._setbacks = Setbacks(conf.current().lease_seconds, stopping)
        self._log = {"job_id": str(job.pk)}

    def run(self) -> SliceEnd:
        job, pace = self._job, self._pace
        slice_budget, turn = Budget.of(pace.slice), Budget.of(pace.turn)
        doubted = False

        while not (slice_budget.spent or self._stopping()):
            if turn.spent:
                if states.others_wait(job):
                    break

                turn = Budget.of(pace.turn)

            try:
                self._batch()
            except FenceLostError:
                # Ours all the same: a COMMIT whose answer was lost was done later.
                if doubted or not self._is_ours():
                    return self._lost()

                doubted = True
                continue
            except (WorkPostponedError, WorkRefusedError):
                raise
            except Exception as error:
                if is_interruption(error):
                    self._wait(error)
                else:
                    self._suspect(error)

                continue

            doubted = False
            self._setbacks.over()
            self._on_change(job)

            if State(job.state).terminal:
                return SliceEnd.FINISHED

            time.sleep(pace.pause)

        states.release(job)

        return SliceEnd.RELEASED

    def _batch(self) -> None:
        job, suspicion = self._job, self._suspicion

        if self._setbacks.any and not self._is_ours():
            # An answer was lost, perhaps that of a COMMIT: the row says whether it
            # was done. So does a lock that is not to be had, if it is done later.
            raise FenceLostError

        if State(job.state).terminal:
            return

        if suspicion.proven:
            self._skip()
            return

        if suspicion.deadly and not states.begin(job):
            raise FenceLostError

        rows = [n for n in (suspicion.rows, self._setbacks.rows) if n is not None]
        budget = Budget.of(
            self._pace.commit,
            rows=min(rows, default=None),
            failures=failures_left(job),
        )
        self._commit(lambda: self._step(budget))

    def _step(self, budget: Budget) -> Step:
        limit = conf.current().query_timeout_seconds

        with time_limit.limited(self._work.using, limit):
            return self._work.step(self._job.cursor, budget)

    def _commit(self, do: Callable[[], Step]) -> None:
        step = commit(self._job, do, rate=self._rate, narrow=self._suspicion.after)
        self._suspicion.passed(step.tally.total)

    def _is_ours(self) -> bool:
        """Read the row again; whether it is still ours, or ended by our hand."""
        job = self._job
        epoch = job.epoch

        try:
            job.refresh_from_db(using=self._work.using)
        except Job.DoesNotExist:
            return False

        return (
            job.epoch == epoch
            and job.state in (State.PROGRESS, State.SUCCESS, State.FAILURE)
            and not states.is_cancelling(job.pk)
        )

    def _lost(self) -> SliceEnd:
        job = self._job

        # Whoever wanted to cancel it could not wait for our batch.
        if states.finish_cancel(job.pk):
            job.refresh_from_db(using=self._work.using)
            self._on_change(job)

        logger.info("job %s: the lease is lost", job.pk, extra=self._log)

        return SliceEnd.LOST

    def _wait(self, error: Exception) -> None:
        connections[self._work.using].close_if_unusable_or_obsolete()
        logger.info(
            "job %s: %s: %s; the batch is tried again",
            self._job.pk,
            type(error).__name__,
            error,
            extra=self._log,
        )

        if not self._setbacks.pause():
            raise error

    def _suspect(self, error: Exception) -> None:
        """The batch raised, and would again: look for the row."""
        job, suspicion = self._job, self._suspicion

        if suspicion.proven or not isinstance(self._work, SkippingWork):
            raise error

        if suspicion.rows == 1:
            logger.error(
                "job %s: the row after row %s cannot be processed",
                job.pk,
                job.current,
                exc_info=error,
                extra=self._log,
            )

        suspicion.raised(job)

    def _skip(self) -> None:
        job, work = self._job, self._work
        deadly = self._suspicion.deadly

        if not isinstance(work, SkippingWork):
            raise WorkRefusedError(
                f"The job was given up at row {job.current + 1}, which ends the "
                "worker's process.",
                code=poison.CODE,
            )

        if poison.is_everywhere(job):
            raise WorkRefusedError(poison.everywhere(job), code=poison.EVERYWHERE)

        detail = poison.DEADLY if deadly else poison.RAISES
        self._commit(lambda: work.skip(job.cursor, poison.CODE, detail))
        observer.notify(
            observer.JobEvent(kind="poisoned", job_id=job.pk, work=job.kind)
        )


def _fail(
    job: Job, message: str, code: str, on_change: Callable[[Job], None]
) -> SliceEnd:
    return _end(
        job, lambda: states.fail(job, message, code), SliceEnd.FINISHED, on_change
    )


def _postpone(job: Job, message: str, on_change: Callable[[Job], None]) -> SliceEnd:
    return _end(
        job, lambda: states.postpone(job, message), SliceEnd.POSTPONED, on_change
    )


def _end(
    job: Job,
    move: Callable[[], bool],
    end: SliceEnd,
    on_change: Callable[[Job], Any],
) -> SliceEnd:
    try:
        if not move():
            return SliceEnd.LOST

        job.refresh_from_db(using=states.jobs().db)
    except (DatabaseError, InterfaceError):
        log = {"job_id": str(job.pk)}
        logger.warning("job %s: interrupted", job.pk, exc_info=True, extra=log)
        return SliceEnd.INTERRUPTED

    on_change(job)

    return end


def _interrupted(job: Job) -> SliceEnd:
    # Nobody died: whoever comes next need not wait, nor wonder about the rows.
    try:
        states.release(job)
    except (DatabaseError, InterfaceError):
        log = {"job_id": str(job.pk)}
        logger.info("job %s: its lease will run out", job.pk, extra=log)

    return SliceEnd.INTERRUPTED
