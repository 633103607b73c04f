"""A bulk request as work: where view, bulk and jobs meet.

An upload is read once, in bounded memory, into a file of its own; by then it is known
to be well-formed, and how many rows it has decides whether it is answered now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from uuid import UUID

from django.db import transaction
from django.urls import NoReverseMatch, reverse
from rest_framework.response import Response

from . import conf
from .bulk import pipeline, rows
from .bulk.outcome import Kind, Outcome
from .envelope import Envelope, same_rows
from .errors import (
    EmptyUploadError,
    InvalidRowsError,
    JobUnavailableError,
)
from .intent import read_body, read_intent
from .jobs.submit import submit
from .target import target_of
from .upsert_work import KIND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .intent import Body, Intent

__all__ = ("job_addresses", "upsert")

READ_BYTES = 256 * 1024
SPOOL_BYTES = 2 * 1024 * 1024

#: Seconds that a client should wait before it asks for a job's status.
RETRY_AFTER = 1


def upsert(view: Any, request: Request) -> HttpResponseBase:
    """Answer an upsert: the stored objects, or a job.

    Raises our 4xx errors; then nothing was written.
    """
    body = read_body(request)
    intent = read_intent(request, body)
    target = target_of(view, text=body.content_type == "text/csv")
    operation = _operation(target, intent)

    with _spooled() as spool:
        inspection = _inspect(body, operation, spool)
        spool.seek(0)

        if intent.preferences.respond_async or inspection.rows > _sync_max_rows(view):
            return _submit(view, request, intent, inspection, spool)

        outcomes = _run_now(operation, target, inspection, spool)

    return _answer(view, target, intent, outcomes)


def _operation(target: pipeline.Target, intent: Intent) -> pipeline.Upsert:
    return pipeline.Upsert(
        target, unique_fields=intent.unique_fields, update_fields=intent.update_fields
    )


def _sync_max_rows(view: Any) -> int:
    return view.sync_max_rows or conf.current().sync_max_rows


@contextlib.contextmanager
def _spooled() -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        yield cast("BinaryIO", spool)


class _Tee:
    """Reads from one stream, and writes what was read to another."""

    def __init__(self, source: Any, copy: BinaryIO) -> None:
        self._source = source
        self._copy = copy

    def read(self, size: int = READ_BYTES) -> bytes:
        data: bytes = self._source.read(size)
        self._copy.write(data)

        return data


def _inspect(
    body: Body, operation: pipeline.Upsert, spool: BinaryIO
) -> rows.Inspection:
    known, required = operation.csv_columns()

    inspection = rows.inspect(
        cast("BinaryIO", _Tee(body.stream, spool)),
        content_type=body.content_type,
        charset=body.charset,
        known=known,
        required=required,
        max_rows=conf.current().max_rows,
    )

    # An empty array asks for nothing; a file without rows was meant to have some.
    if inspection.dialect.format == "csv" and not inspection.rows:
        raise EmptyUploadError("The upload has a header and no rows. Add rows to it.")

    return inspection


def _run_now(
    operation: pipeline.Upsert,
    target: pipeline.Target,
    inspection: rows.Inspection,
    spool: BinaryIO,
) -> list[Outcome]:
    """All rows or none. Raises InvalidRowsError, which names every bad row."""
    outcomes: list[Outcome] = []

    with transaction.atomic(using=target.using):
        read = (row for row, _ in rows.read(spool, inspection.dialect))

        for batch in _batches(read):
            outcomes += operation.run(batch)

        failed = [outcome for outcome in outcomes if outcome.kind is Kind.FAILED]

        if failed:
            raise InvalidRowsError(
                f"{len(failed)} of {len(outcomes)} rows are not valid; nothing was "
                "written. Correct them and send all rows again.",
                extra={"rows": [_row_problem(outcome) for outcome in failed]},
            )

    return outcomes


def _batches(read: Iterable[rows.Row]) -> Iterator[list[rows.Row]]:
    size = conf.current().batch_size
    iterator = iter(read)

    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _row_problem(outcome: Outcome) -> dict[str, Any]:
    problem: dict[str, Any] = {"row": outcome.row}

    if outcome.line is not None:
        problem["line"] = outcome.line

    problem["errors"] = [dataclasses.asdict(error) for error in outcome.errors]

    return problem


def _answer(
    view: Any, target: pipeline.Target, intent: Intent, outcomes: list[Outcome]
) -> Response:
    if intent.preferences.minimal:
        count = len(outcomes)
        response = Response(
            {
                "message": f"Successfully upserted {count} instances",
                "count": count,
                "serialization_skipped": True,
            }
        )
        response["Preference-Applied"] = "return=minimal"

        return response

    stored = _stored(target, [outcome.pk for outcome in outcomes])

    return Response(view.get_serializer(stored, many=True).data)


def _stored(target: pipeline.Target, pks: list[Any]) -> list[Any]:
    """The rows as they are stored, in this order."""
    found = target.queryset.in_bulk(set(pks))
    left = set(pks).difference(found)

    if left:
        # A row may have left the view's world by what was just written to it; DRF
        # answers with it all the same.
        manager = target.queryset.model._base_manager
        found |= manager.using(target.queryset.db).in_bulk(left)

    return [found[pk] for pk in pks]


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
        kind=KIND,
        owner=user,
        spec={
            "envelope": envelope.as_dict(),
            "dialect": inspection.dialect.as_dict(),
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
            "message": f"Upsert of {job.total} rows accepted",
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
