"""A job comes into being: its row and its input, in the caller's transaction."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, BinaryIO

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections, router, transaction
from django.db.models.functions import Now

from django_partstream import conf
from django_partstream.errors import IdempotencyMismatchError, TooManyJobsError
from django_partstream.models import Job, State

from . import inputs, observer, states
from .crash_points import Point, reached
from .inputs import PIECE_BYTES, InputReader
from .queue import get_queue
from .work import OURS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = (
    "PIECE_BYTES",
    "InputReader",
    "KeyTakenError",
    "Once",
    "claim",
    "earlier",
    "submit",
)

logger = logging.getLogger(__name__)

UNFINISHED = tuple(state for state in State if not state.terminal)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """An `Idempotency-Key`, and the request that came with it. SHA-256 in hex."""

    #: Of the key and whose it is.
    key: str
    request: str


class KeyTakenError(Exception):
    """Somebody was faster with this key."""


def submit(
    *,
    kind: str,
    owner: Any,
    spec: Mapping[str, Any],
    total: int,
    stream: BinaryIO | None = None,
    once: Once | None = None,
    fingerprint: str = "",
    retry_of: Job | None = None,
    cursor: Mapping[str, Any] | None = None,
) -> Job:
    """Write a job with its input, and hand it to the queue when that is committed.

    `owner` is a saved user or None; `spec` is JSON for the work; `total` is in rows.
    The input is copied in pieces. What is rolled back leaves nothing. When the queue
    cannot be reached the job still exists, and a sweeper hands it out later. `cursor`
    is where it starts, if not at the beginning.

    Raises TooManyJobsError where the owner has `JOBS_PER_USER` unfinished ones, or all
    callers without a name together have, and KeyTakenError where there is a job of
    `once` by now.
    """
    using = states.jobs().db
    job = Job(
        kind=kind,
        owner=owner,
        spec=dict(spec),
        total=total,
        fingerprint=fingerprint,
        retry_of=retry_of,
        cursor=dict(cursor or {}),
    )

    if once is not None:
        job.idempotency_key, job.request_sha256 = once.key, once.request

    try:
        with transaction.atomic(using=using):
            _take_turns(owner, using)
            _insert(job, using)
            _check_quota(job)
            reached(Point.ROW_WRITTEN)

            if stream is not None:
                inputs.keep(job, stream)
                reached(Point.INPUT_WRITTEN)

            transaction.on_commit(lambda: _hand_out_new(job.pk), using=using)
    except BaseException:
        inputs.discard(job)
        raise

    return job


def claim(*, kind: str, owner: Any, once: Once) -> Job:
    """Write down that a key was used, as a job that has ended; in the caller's
    transaction, whoever comes with the key meanwhile waits for its end.

    Raises KeyTakenError.
    """
    using = states.jobs().db
    job = Job(
        kind=kind,
        owner=owner,
        state=State.SUCCESS,
        finished_at=Now(),
        idempotency_key=once.key,
        request_sha256=once.request,
    )
    _insert(job, using)

    return job


def _insert(job: Job, using: str) -> None:
    try:
        with transaction.atomic(using=using):
            job.save(using=using, force_insert=True)
    except IntegrityError as error:
        if job.idempotency_key is None:
            raise

        raise KeyTakenError from error


def _take_turns(owner: Any, using: str) -> None:
    """One submission of an owner at a time, until it is committed: else two that come
    together would not be counted by each other."""
    users = get_user_model()
    features = connections[using].features

    if owner is None or router.db_for_write(users) not in (None, using):
        return

    # Without a key in it, it does not get in the way of rows that refer to the user.
    # SQLite has one writer at a time anyway.
    list(
        users._base_manager.using(using)
        .select_for_update(no_key=features.has_select_for_no_key_update)
        .filter(pk=owner.pk)
        .values_list("pk")
    )


def _check_quota(job: Job) -> None:
    """Callers without a name are one user: an address is no name, and is forged."""
    unfinished = states.jobs().filter(owner=job.owner, state__in=UNFINISHED)
    whose = "You have"

    if job.owner is None:
        # Work of the project's own, which nobody asked for, is not counted.
        if not job.kind.startswith(OURS):
            return

        unfinished = unfinished.filter(kind__startswith=OURS)
        whose = "Callers who are not signed in have, together,"

    limit = conf.current().jobs_per_user

    if unfinished.count() > limit:
        raise TooManyJobsError(
            f"{whose} {limit} unfinished jobs, which is all that one user may have. "
            "Wait until one has ended, or cancel one.",
            extra={"limit": limit},
        )


def earlier(once: Once) -> Job | None:
    """The job that was submitted with this key; None where there is none.

    Raises IdempotencyMismatchError where it was another request.
    """
    job = states.jobs().defer("cursor").filter(idempotency_key=once.key).first()

    if job is not None and job.request_sha256 != once.request:
        raise IdempotencyMismatchError

    return job


def _hand_out_new(job_id: UUID) -> None:
    reached(Point.SUBMITTED)

    # Only a shortcut past the sweeper: a queue that is down must not fail a request
    # whose job is safe in the database.
    try:
        message_id = states.dispatch(job_id, 0)

        if message_id is not None:
            reached(Point.BEFORE_PUBLISH)
            _publish(job_id, message_id)
            reached(Point.AFTER_PUBLISH)
    except Exception:
        logger.warning(
            "job %s: not handed out yet",
            job_id,
            exc_info=True,
            extra={"job_id": str(job_id)},
        )
        observer.notify(observer.JobEvent(kind="unpublished", job_id=job_id))


def _publish(job_id: UUID, message_id: str) -> None:
    try:
        async_to_sync(get_queue().publish)(job_id, message_id)
    except Exception:
        states.undispatch(job_id)
        raise
