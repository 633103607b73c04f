"""A request becomes a job: checked, written with its transaction, answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from django.urls import NoReverseMatch, reverse

from . import fingerprint, idempotency
from .envelope import Envelope, same_rows
from .errors import IdempotencyConflictError, JobUnavailableError
from .jobs.submit import KeyTakenError, earlier, submit
from .owners import owner_of
from .waiting import accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rest_framework.request import Request
    from rest_framework.response import Response

    from .jobs.submit import Once
    from .models import Job
    from .preferences import Preferences

__all__ = ("accept", "job_addresses", "submit_work")


def submit_work(
    view: Any,
    request: Request,
    *,
    kind: str,
    spec: Mapping[str, Any],
    total: int,
    preferences: Preferences,
    stream: BinaryIO | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """Answer with a job of this kind, which rebuilds the view from the request, and
    waits for its serializer to have these `fields` (of `fingerprint.fields_of`).

    The `Idempotency-Key` of a job that is there already is answered with that job; a
    client that would wait gets the finished job. Raises JobUnavailableError where the
    view cannot be rebuilt, TooManyJobsError and the errors of idempotency.
    """
    owner = owner_of(request)
    # Before anything is written: they may not be mounted.
    job_addresses(UUID(int=0))
    # The columns are what the view has now, and not what was asked.
    asked = {"kind": kind, **spec, "columns": None}
    once = idempotency.once_of(request, owner=owner, asked=asked, stream=stream)

    def make() -> Job:
        envelope = Envelope.of(view, request)
        _check_rebuilt(view, envelope, owner)
        # No part of what was asked: a deploy may change the fields.
        kept = dict(fields or {})

        return submit(
            kind=kind,
            owner=owner,
            spec={**spec, "envelope": envelope.as_dict(), "fields": kept},
            total=total,
            stream=stream,
            once=once,
            fingerprint=fingerprint.digest(kept) if kept else "",
        )

    return accept(request, make, once=once, preferences=preferences)


def accept(
    request: Request,
    make: Callable[[], Job],
    *,
    once: Once | None,
    preferences: Preferences,
) -> Response:
    """Answer with the job that `make` submits; where there is one with the key of
    `once`, with that. Raises what `make` does, and the errors of idempotency."""
    job = None if once is None else earlier(once)
    replayed = job is not None

    if job is None:
        try:
            job = make()
        except KeyTakenError as error:
            job, replayed = _of_somebody_faster(once, error), True

    response = accepted(
        request, job, addresses=job_addresses(job.pk), preferences=preferences
    )

    if replayed:
        response[idempotency.REPLAYED] = "true"

    return response


def _of_somebody_faster(once: Once | None, error: KeyTakenError) -> Job:
    assert once is not None  # for mypy: only a key can be taken
    job = earlier(once)

    if job is None:
        # Our transaction began before theirs ended, and does not see what they wrote.
        raise IdempotencyConflictError from error

    return job


def job_addresses(job_id: Any) -> dict[str, str]:
    """Where a job is to be asked for. Raises JobUnavailableError where the job views
    are not mounted."""
    try:
        return {
            f"{name}_url": reverse(f"partstream:operation-{name}", args=[job_id])
            for name in ("status", "events", "results")
        }
    except NoReverseMatch as error:
        raise JobUnavailableError(
            'The job views are not mounted. Add path("api/", '
            'include("django_partstream.urls")) to the URLconf.'
        ) from error


def _check_rebuilt(view: Any, envelope: Envelope, user: Any) -> None:
    """The worker's view must see the rows that this one sees, no others."""
    name = type(view).__name__
    advice = (
        "What hangs on credentials, other headers or middleware goes through "
        "job_context(request), which returns it, and restore_job_context(context), "
        "which takes it up in the worker; a header can be named in "
        "PARTSTREAM['JOB_HEADERS']."
    )

    try:
        rebuilt = envelope.view(user)
        same = same_rows(
            view.filter_queryset(view.get_queryset()),
            rebuilt.filter_queryset(rebuilt.get_queryset()),
        )
    except Exception as error:
        # Whatever the view's own code raises when this request is not there.
        raise JobUnavailableError(
            f"{name} cannot be rebuilt for a job: {type(error).__name__}: {error}. "
            "What it permits and which rows it gives must follow from the user, the "
            f"address and the query string. {advice}"
        ) from error

    if not same:
        raise JobUnavailableError(
            f"{name}.get_queryset() gives other rows in a job than in this request: it "
            f"depends on more than the user, the address and the query string. {advice}"
        )
