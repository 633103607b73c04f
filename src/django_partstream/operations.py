"""A bulk request as work: where view, bulk and jobs meet."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from django.db import DatabaseError, connections, transaction
from django.urls import NoReverseMatch, reverse
from rest_framework.response import Response

from . import answers, conf, uploads
from .bulk import rows
from .bulk.operation import operation_on
from .bulk.refusals import is_transient
from .bulk_work import kind_of
from .envelope import Envelope, same_rows
from .errors import BusyError, JobUnavailableError, TooManyRowsError
from .intent import read_body, read_intent
from .jobs.submit import submit
from .target import target_of

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .bulk.operation import Operation
    from .bulk.outcome import Outcome
    from .bulk.pipeline import Target
    from .bulk.verb import Verb
    from .intent import Intent

__all__ = ("answer", "job_addresses")

#: Seconds that a client should wait before it asks for a job's status.
RETRY_AFTER = 1

#: How often a transaction of ours is tried that others have got in the way of, and
#: the longest pause before the second try, in seconds; it doubles.
ATTEMPTS = 6
PAUSE_SECONDS = 0.05


def answer(view: Any, request: Request, verb: Verb) -> HttpResponseBase:
    """Answer a request whose body is rows: what was written, or a job.

    Raises our 4xx errors; then nothing was written.
    """
    body, given = uploads.unwrapped(read_body(request))
    intent = read_intent(request, body, verb, given)
    target = target_of(view, intent.verb, text=body.content_type == "text/csv")
    operation = operation_on(
        target,
        intent.verb,
        unique_fields=intent.unique_fields,
        update_fields=intent.update_fields,
    )

    with uploads.spooled() as spool:
        inspection = uploads.inspect(body, operation, spool)

        if _becomes_a_job(view, intent, inspection.rows):
            return _submit(view, request, intent, inspection, spool)

        return _write(view, target, operation, intent, inspection, spool)


def _becomes_a_job(view: Any, intent: Intent, count: int) -> bool:
    limit = _sync_max_rows(view)
    rollback = intent.preferences.rollback

    if count > limit and (rollback or not view.jobs):
        what = "A dry run is" if rollback else "Requests are"
        raise TooManyRowsError(
            f"{what} answered at once here, with at most {limit} rows; these are "
            f"{count}. Send fewer at once.",
            extra={"limit": limit, "rows": count},
        )

    return count > limit or (
        intent.preferences.respond_async and view.jobs and not rollback
    )


def _sync_max_rows(view: Any) -> int:
    return view.sync_max_rows or conf.current().sync_max_rows


def _write(
    view: Any,
    target: Target,
    operation: Operation,
    intent: Intent,
    inspection: rows.Inspection,
    spool: BinaryIO,
) -> Response:
    """In one transaction, tried again where others got in its way.

    Raises InvalidRowsError, which names every bad row, unless the client is lenient;
    BusyError when all tries were in vain, or the transaction is not ours.
    """
    is_ours = not connections[target.using].in_atomic_block
    attempts = ATTEMPTS if is_ours else 1

    for attempt in range(attempts):
        spool.seek(0)

        try:
            with transaction.atomic(using=target.using):
                outcomes = _run(operation, inspection, spool)
                refusal = answers.refusal(outcomes)

                if refusal is not None and not intent.preferences.lenient:
                    raise refusal

                # Inside, so that a dry run shows what would be stored.
                response = answers.answer(view, target, operation, intent, outcomes)

                if intent.preferences.rollback:
                    transaction.set_rollback(True, using=target.using)

                return response
        except DatabaseError as error:
            if not is_transient(error):
                raise

            if attempt == attempts - 1:
                raise BusyError from error

        time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))

    raise AssertionError("the last attempt returns or raises")


def _run(
    operation: Operation, inspection: rows.Inspection, spool: BinaryIO
) -> list[Outcome]:
    read = (row for row, _ in rows.read(spool, inspection.dialect))

    return [
        outcome for batch in uploads.batches(read) for outcome in operation.run(batch)
    ]


def _submit(
    view: Any,
    request: Request,
    intent: Intent,
    inspection: rows.Inspection,
    spool: BinaryIO,
) -> Response:
    user = request.user if getattr(request.user, "is_authenticated", False) else None
    envelope = Envelope.of(request)
    _check_rebuilt(view, envelope, user)
    # Before anything is written: they may not be mounted.
    job_addresses(UUID(int=0))

    job = submit(
        kind=kind_of(intent.verb),
        owner=user,
        spec={
            "envelope": envelope.as_dict(),
            "dialect": inspection.dialect.as_dict(),
            "verb": intent.verb.value,
            "unique_fields": list(intent.unique_fields),
            "update_fields": (
                None if intent.update_fields is None else list(intent.update_fields)
            ),
        },
        total=inspection.rows,
        stream=spool,
    )
    addresses = job_addresses(job.pk)
    response = Response(
        {
            "message": f"{_noun(intent)} of {job.total} rows accepted",
            "task_id": str(job.pk),
            "total_items": job.total,
            **addresses,
        },
        status=202,
    )
    response["Location"] = addresses["status_url"]
    response["Retry-After"] = str(RETRY_AFTER)

    if intent.preferences.respond_async:
        response["Preference-Applied"] = "respond-async"

    return response


def _noun(intent: Intent) -> str:
    return kind_of(intent.verb).removeprefix("async_").capitalize()


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
    try:
        rebuilt = envelope.view(user)
        same = same_rows(
            view.filter_queryset(view.get_queryset()),
            rebuilt.filter_queryset(rebuilt.get_queryset()),
        )
    except Exception as error:
        # Whatever the view's own code raises when this request is not there.
        raise JobUnavailableError(
            f"{type(view).__name__} cannot be rebuilt for a job: "
            f"{type(error).__name__}: {error}. What it permits and which rows it "
            "gives must follow from the user, the address and the query string alone, "
            "not from credentials, other headers or middleware."
        ) from error

    if not same:
        raise JobUnavailableError(
            f"{type(view).__name__}.get_queryset() gives other rows in a job than in "
            "this request: it depends on more than the user, the address and the "
            "query string. Let it depend on these, or send at most "
            f"{_sync_max_rows(view)} rows at once without Prefer: respond-async."
        )
