"""How a job is cancelled, whoever has it in hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError, connections, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from django_partstream.errors import BusyError
from django_partstream.models import JobCancel, State

from .crash_points import Point, reached
from .lock_waits import at_most, is_lock_timeout
from .table import SEQ_STEP, UNFINISHED, jobs, unlocked

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from django_partstream.models import Job

__all__ = (
    "CANCEL_SECONDS",
    "cancel",
    "finish_cancel",
    "is_cancelling",
    "sweep_cancels",
    "with_cancels",
)

#: How long a cancel waits for a batch that holds the row.
CANCEL_SECONDS = 5.0


def cancel(job_id: UUID) -> State | None:
    """Cancel an unfinished job.

    CANCELLED: it is, and no further row of it is written. CANCELLING: a batch holds it
    for more than `CANCEL_SECONDS`; whoever works on it stops after that batch. None:
    it has ended already, or there is none. Raises BusyError where the database has one
    writer at a time, and that one does not end.
    """
    reached(Point.BEFORE_CANCEL)

    try:
        with at_most(CANCEL_SECONDS, using=jobs().db):
            state = State.CANCELLED if _cancel(jobs().filter(pk=job_id)) else None
    except DatabaseError as error:
        if not is_lock_timeout(error):
            raise

        state = _ask(job_id, error)

    reached(Point.AFTER_CANCEL)

    return state


def _cancel(query: QuerySet[Job]) -> int:
    return query.filter(state__in=(*UNFINISHED, State.CANCELLING)).update(
        state=State.CANCELLED,
        lease_until=None,
        finished_at=Now(),
        seq=F("seq") + SEQ_STEP,
    )


def _ask(job_id: UUID, error: DatabaseError) -> State | None:
    """Leave word for whoever holds the row."""
    if connections[jobs().db].vendor == "sqlite":
        raise BusyError(
            "A batch holds the database, so that the job cannot be cancelled now. "
            "Send the request again."
        ) from error

    if not jobs().filter(pk=job_id, state__in=UNFINISHED).exists():
        return None

    _cancels().get_or_create(job_id=job_id)

    return State.CANCELLING


def _cancels() -> QuerySet[JobCancel]:
    return JobCancel.objects.using(jobs().db)


def is_cancelling(job_id: UUID) -> bool:
    """Whether somebody has left word that it is to be cancelled."""
    return _cancels().filter(pk=job_id).exists()


def with_cancels(query: QuerySet[Job]) -> QuerySet[Job]:
    """The jobs, each with `is_cancelling`."""
    asked = Exists(_cancels().filter(job_id=OuterRef("pk")))

    return query.annotate(is_cancelling=Q(state__in=UNFINISHED) & asked)


def finish_cancel(job_id: UUID) -> bool:
    """End the job as cancelled, if word was left; whether it is that now."""
    if not is_cancelling(job_id):
        return False

    with transaction.atomic(using=jobs().db):
        cancelled = _cancel(jobs().filter(pk=job_id))
        _cancels().filter(pk=job_id).delete()

    return bool(cancelled)


def sweep_cancels() -> int:
    """End the jobs that are to be cancelled and whose holder is gone; how many."""
    asked = list(_cancels().values_list("pk", flat=True)[:100])
    count = 0

    for job_id in asked:
        with transaction.atomic(using=jobs().db):
            row = jobs().filter(pk=job_id)

            if unlocked(row).first() is not None or not row.exists():
                count += _cancel(row)
                _cancels().filter(pk=job_id).delete()

    return count
