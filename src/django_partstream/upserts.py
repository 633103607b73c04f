"""`/upsert/`: a few rows, now or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.urls import NoReverseMatch
from rest_framework.response import Response

from . import answers, conf, legacy
from .bulk.outcome import Counts, Kind
from .bulk_steps import failure_of
from .errors import QueryTimeoutError, TooManyRowsError, UniqueFieldsError
from .operations import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

    from .bulk.operation import Operation
    from .bulk.outcome import Outcome
    from .bulk.pipeline import Target
    from .intent import Intent

__all__ = ("NOW",)


def _check(view: Any, request: Request, intent: Intent, count: int) -> bool:
    """Never a job."""
    if not intent.unique_fields:
        raise UniqueFieldsError(
            "An upsert needs to know which fields make a row unique. Name them, for "
            "example ?unique_fields=number."
        )

    limit = view.upsert_max_rows or conf.current().upsert_max_rows

    if count > limit:
        address = _address_of_jobs(view, request)
        instead = f"Send them to {address}" if address else "Send fewer at once"
        raise TooManyRowsError(
            f"At most {limit} rows are answered here at once; these are {count}. "
            f"{instead}.",
            extra={"limit": limit, "rows": count, "use": address},
        )

    return False


def _address_of_jobs(view: Any, request: Request) -> str | None:
    """Where more rows may go, with the same query; None where there is nothing."""
    try:
        url: str = view.reverse_action("operations", kwargs=view.kwargs)
    except NoReverseMatch:
        return None

    query = request.META.get("QUERY_STRING")

    return f"{url}?{query}" if query else url


def _answer(
    view: Any,
    target: Target,
    operation: Operation,
    intent: Intent,
    outcomes: Sequence[Outcome],
) -> Response:
    """Counts and keys, as the older documents have them."""
    counts = Counts.of(outcomes)
    errors = [failure_of(o) for o in outcomes if o.kind is Kind.FAILED]
    response = Response(
        {
            "message": "Upsert completed successfully"
            if not errors
            else f"Upsert completed with {len(errors)} errors",
            "total_items": len(outcomes),
            "created_count": counts.created,
            "updated_count": counts.updated,
            "unchanged_count": counts.unchanged,
            "error_count": counts.failed,
            "created_ids": _ids(outcomes, Kind.CREATED),
            "updated_ids": _ids(outcomes, Kind.UPDATED),
            "unchanged_ids": _ids(outcomes, Kind.UNCHANGED),
            "errors": errors,
            "unique_fields": list(intent.unique_fields),
            "update_fields": _update_fields(operation, intent),
            "is_sync": True,
        },
        status=207 if intent.preferences.lenient else 200,
    )

    return answers.with_headers(response, operation, intent)


def _ids(outcomes: Sequence[Outcome], kind: Kind) -> list[Any]:
    return [outcome.pk for outcome in outcomes if outcome.kind is kind]


def _update_fields(operation: Operation, intent: Intent) -> list[str]:
    """What an update may change: what was asked for, or all but the key."""
    if intent.update_fields is not None:
        return list(intent.update_fields)

    known, _ = operation.csv_columns()

    return [name for name in known if name not in intent.unique_fields]


def _batch_size() -> int:
    size: int | None = legacy.value_of("SYNC_UPSERT_BATCH_SIZE")

    return min(filter(None, (size, conf.current().batch_size)))


def _seconds(started: float) -> float | None:
    settings = conf.current()

    if settings.upsert_timeout_seconds is None:
        return settings.query_timeout_seconds

    left = started + settings.upsert_timeout_seconds - time.monotonic()

    if left <= 0:
        raise QueryTimeoutError(
            f"This took longer than {settings.upsert_timeout_seconds:g} s; nothing was "
            "written."
        )

    return min(left, settings.query_timeout_seconds or left)


NOW = Way(
    becomes_a_job=_check, answer=_answer, batch_size=_batch_size, seconds=_seconds
)
