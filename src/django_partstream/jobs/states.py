"""A job's row, moved from state to state by guarded updates.

Every function is one compare-and-set: it says whether the row was as expected. Time
is the database's. A row that a batch holds is not waited for, but by `cancel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, Now

from django_partstream import conf
from django_partstream.models import Job, State

from . import observer, suspicion
from .cancelling import (
    cancel,
    finish_cancel,
    is_cancelling,
    sweep_cancels,
    with_cancels,
)
from .crash_points import Point, reached
from .table import SEQ_STEP, UNFINISHED, after, claimable, jobs, locking, unlocked

if TYPE_CHECKING:
    from uuid import UUID

__all__ = (
    "MAX_ATTEMPTS",
    "UNFINISHED",
    "accept",
    "after",
    "begin",
    "cancel",
    "claim",
    "dispatch",
    "due",
    "fail",
    "finish_cancel",
    "held",
    "is_cancelling",
    "jobs",
    "others_wait",
    "postpone",
    "release",
    "sweep_cancels",
    "undispatch",
    "waiting",
    "with_cancels",
)

#: Workers that died in a row without moving anything, before a job is given up.
MAX_ATTEMPTS = 10

#: When a job that cannot go on is looked at again.
POSTPONE_SECONDS = 30.0


def claim(job_id: UUID, worker: str) -> Job | None:
    """Take the job under a new epoch; None where it is finished, has to wait, or
    somebody has it."""
    reached(Point.BEFORE_CLAIM)

    with locking():
        job = unlocked(jobs().filter(claimable(), pk=job_id)).first()

        if job is None:
            return None

        died = job.lease_until is not None
        claimed = (
            jobs()
            .filter(claimable(), pk=job_id, epoch=job.epoch)
            .update(
                state=State.PROGRESS,
                message="",
                epoch=job.epoch + 1,
                worker=worker,
                lease_until=after(conf.current().lease_seconds),
                not_before=None,
                turn_at=Now(),
                started_at=Coalesce("started_at", Now()),
                seq=F("seq") + SEQ_STEP,
                **suspicion.at_claim(job, died=died),
            )
        )

    if not claimed:
        return None

    reached(Point.AFTER_CLAIM)
    observer.notify(
        observer.JobEvent(kind="claimed", job_id=job_id, work=job.kind, takeover=died)
    )

    return jobs().filter(pk=job_id, epoch=job.epoch + 1).first()


def held(job: Job) -> QuerySet[Job]:
    """The job's row, while it is in the hands of whoever claimed `job`."""
    return jobs().filter(pk=job.pk, epoch=job.epoch, state=State.PROGRESS)


def begin(job: Job) -> bool:
    """Note that the batch to which the job was cut down begins: if its process dies
    now, it was this batch."""
    lease = after(conf.current().lease_seconds)

    return bool(held(job).update(begun=job.begun + 1, lease_until=lease))


def release(job: Job) -> bool:
    """Give the job back unfinished, for another slice to claim at once.

    It goes behind the jobs that wait already. Being stopped is nobody's fault.
    """
    reached(Point.BEFORE_RELEASE)
    released = held(job).update(lease_until=None, begun=job.begun, dispatched_at=Now())
    reached(Point.AFTER_RELEASE)

    return bool(released)


def postpone(job: Job, message: str) -> bool:
    """Give the job back, for another slice to look at in `POSTPONE_SECONDS`; `message`
    says to its owner what it waits for."""
    return bool(
        held(job).update(
            state=State.PENDING,
            message=message,
            lease_until=None,
            not_before=after(POSTPONE_SECONDS),
            dispatched_at=Now(),
            seq=F("seq") + SEQ_STEP,
        )
    )


def accept(job_id: UUID) -> bool:
    """Let an unfinished job go on at once, under the code that there is now, though it
    was submitted to another; whether it was waiting."""
    return bool(
        jobs()
        .filter(pk=job_id, state__in=UNFINISHED, not_before__isnull=False)
        .update(fingerprint="", not_before=None, message="", seq=F("seq") + SEQ_STEP)
    )


def fail(job: Job, message: str, code: str) -> bool:
    """End the job as failed; `message` is for its owner, `code` for their programs."""
    reached(Point.BEFORE_FAIL)
    failed = held(job).update(
        state=State.FAILURE,
        message=message,
        code=code,
        lease_until=None,
        finished_at=Now(),
        seq=F("seq") + SEQ_STEP,
    )
    reached(Point.AFTER_FAIL)

    return bool(failed)


def due(limit: int) -> list[tuple[UUID, int]]:
    """Unfinished jobs that nobody works on and that were not dispatched lately: their
    ids and how often they were dispatched.

    A message that brought no worker in the time of a lease is taken for lost.
    """
    lately = Q(dispatched_at__gte=after(-conf.current().lease_seconds))
    lost = Q(lease_until__lt=Now()) & Q(dispatched_at__lt=F("lease_until"))
    query = (
        jobs()
        .filter(claimable())
        .filter(lost | Q(dispatched_at__isnull=True) | ~lately)
        .order_by("created_at")
        .only("pk", "dispatches")
    )

    with locking():
        return [(job.pk, job.dispatches) for job in unlocked(query)[:limit]]


def waiting() -> UUID | None:
    """The job whose turn it is: of the owner who has waited longest, the one that has.

    Owners without a name are one.
    """
    query = _in_turn(jobs().filter(claimable())).only("pk")

    with locking():
        job = unlocked(query).first()

    return None if job is None else job.pk


def _in_turn(query: QuerySet[Job]) -> QuerySet[Job]:
    # Finished jobs count too: else whoever sends many short ones would always be first.
    turns = jobs().filter(turn_at__isnull=False).order_by("-turn_at").values("turn_at")
    owner_turn = Case(
        When(owner=None, then=Subquery(turns.filter(owner=None)[:1])),
        default=Subquery(turns.filter(owner=OuterRef("owner"))[:1]),
    )

    return query.annotate(owner_turn=owner_turn).order_by(
        F("owner_turn").asc(nulls_first=True),
        F("turn_at").asc(nulls_first=True),
        "created_at",
    )


def others_wait(job: Job) -> bool:
    """Whether a job of another owner waits."""
    others = Q(owner__isnull=job.owner_id is not None)

    if job.owner_id is not None:
        others |= ~Q(owner=job.owner_id)

    return jobs().filter(claimable(), others).exclude(pk=job.pk).exists()


def dispatch(job_id: UUID, dispatches: int) -> str | None:
    """Note that the job is being handed to the queue; the id of that message.

    None where somebody else noted it first, or works on it.
    """
    reached(Point.BEFORE_DISPATCH)
    query = jobs().filter(pk=job_id, dispatches=dispatches)

    with locking():
        job = unlocked(query.only("epoch")).first()
        noted = job is not None and query.update(
            dispatched_at=Now(), dispatches=dispatches + 1
        )

    if job is None or not noted:
        return None

    reached(Point.AFTER_DISPATCH)

    return f"{job_id}:{job.epoch}:{dispatches + 1}"


def undispatch(job_id: UUID) -> None:
    """Note that the queue did not take it, so that the next sweep hands it out."""
    jobs().filter(pk=job_id).update(dispatched_at=None)
