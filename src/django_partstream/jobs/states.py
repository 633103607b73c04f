"""A job's row, moved from state to state by guarded updates.

Every function is one compare-and-set: it says whether the row was as expected. Time
is the database's.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from django.db import models, router
from django.db.models import F, Q
from django.db.models.functions import Now

from django_partstream import conf
from django_partstream.models import Job, State

from . import observer
from .crash_points import Point, reached

if TYPE_CHECKING:
    from uuid import UUID

__all__ = (
    "MAX_ATTEMPTS",
    "cancel",
    "claim",
    "dispatch",
    "due",
    "fail",
    "jobs",
    "release",
    "undispatch",
    "waiting",
)

#: Claims in a row that moved nothing, before a job is given up.
MAX_ATTEMPTS = 10


UNFINISHED = (State.PENDING, State.PROGRESS)


def jobs() -> models.QuerySet[Job]:
    """All jobs, on the database that they are written to."""
    return Job.objects.using(router.db_for_write(Job))


def after(seconds: float) -> models.Expression:
    return models.ExpressionWrapper(
        Now() + datetime.timedelta(seconds=seconds), output_field=models.DateTimeField()
    )


def _free() -> Q:
    """Nobody holds a lease on it."""
    return Q(lease_until__isnull=True) | Q(lease_until__lt=Now())


def claim(job_id: UUID, worker: str) -> Job | None:
    """Take the job under a new epoch; None where it is finished or somebody has it."""
    found = jobs().filter(pk=job_id).values_list("epoch", "kind", "lease_until").first()

    if found is None:
        return None

    epoch, kind, lease = found

    reached(Point.BEFORE_CLAIM)
    claimed = (
        jobs()
        .filter(_free(), pk=job_id, state__in=UNFINISHED, epoch=epoch)
        .update(
            state=State.PROGRESS,
            epoch=epoch + 1,
            attempts=F("attempts") + 1,
            worker=worker,
            lease_until=after(conf.current().lease_seconds),
            started_at=models.functions.Coalesce("started_at", Now()),
            seq=F("seq") + 1,
        )
    )

    if not claimed:
        return None

    reached(Point.AFTER_CLAIM)
    observer.notify(
        observer.JobEvent(
            kind="claimed", job_id=job_id, work=kind, takeover=lease is not None
        )
    )

    return jobs().filter(pk=job_id, epoch=epoch + 1).first()


def _held(job: Job) -> models.QuerySet[Job]:
    return jobs().filter(pk=job.pk, epoch=job.epoch, state=State.PROGRESS)


def release(job: Job) -> bool:
    """Give the job back unfinished, for another slice to claim at once.

    It goes behind the jobs that wait already. Being stopped is no failed attempt.
    """
    reached(Point.BEFORE_RELEASE)
    released = _held(job).update(lease_until=None, attempts=0, dispatched_at=Now())
    reached(Point.AFTER_RELEASE)

    return bool(released)


def fail(job: Job, message: str) -> bool:
    """End the job as failed; `message` is for its owner."""
    reached(Point.BEFORE_FAIL)
    failed = _held(job).update(
        state=State.FAILURE,
        message=message,
        lease_until=None,
        finished_at=Now(),
        seq=F("seq") + 1,
    )
    reached(Point.AFTER_FAIL)

    return bool(failed)


def cancel(job_id: UUID) -> bool:
    """End an unfinished job as cancelled.

    Waits for a batch that holds the row. When this has returned no further row of
    the job is written: the next commit finds that the state has changed.
    """
    reached(Point.BEFORE_CANCEL)
    cancelled = (
        jobs()
        .filter(pk=job_id, state__in=(*UNFINISHED, State.CANCELLING))
        .update(
            state=State.CANCELLED,
            lease_until=None,
            finished_at=Now(),
            seq=F("seq") + 1,
        )
    )
    reached(Point.AFTER_CANCEL)

    return bool(cancelled)


def due(limit: int) -> list[tuple[UUID, int]]:
    """Unfinished jobs that nobody works on and that were not dispatched lately: their
    ids and how often they were dispatched.

    A message that brought no worker in the time of a lease is taken for lost.
    """
    lately = Q(dispatched_at__gte=after(-conf.current().lease_seconds))
    lost = Q(lease_until__lt=Now()) & Q(dispatched_at__lt=F("lease_until"))
    query = (
        jobs()
        .filter(_free(), state__in=UNFINISHED)
        .filter(lost | Q(dispatched_at__isnull=True) | ~lately)
        .order_by("created_at")
        .values_list("pk", "dispatches")
    )

    return list(query[:limit])


def waiting() -> UUID | None:
    """The unfinished job that nobody works on and that waits longest."""
    return (
        jobs()
        .filter(_free(), state__in=UNFINISHED)
        .order_by(F("dispatched_at").asc(nulls_first=True), "created_at")
        .values_list("pk", flat=True)
        .first()
    )


def dispatch(job_id: UUID, dispatches: int) -> str | None:
    """Note that the job is being handed to the queue; the id of that message.

    None where somebody else noted it first.
    """
    reached(Point.BEFORE_DISPATCH)
    noted = (
        jobs()
        .filter(pk=job_id, dispatches=dispatches)
        .update(dispatched_at=Now(), dispatches=F("dispatches") + 1)
    )

    if not noted:
        return None

    reached(Point.AFTER_DISPATCH)

    job = jobs().only("epoch", "dispatches").get(pk=job_id)

    return f"{job_id}:{job.epoch}:{job.dispatches}"


def undispatch(job_id: UUID) -> None:
    """Note that the queue did not take it, so that the next sweep hands it out."""
    jobs().filter(pk=job_id).update(dispatched_at=None)
