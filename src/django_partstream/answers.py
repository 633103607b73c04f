"""What a bulk request is answered, once its rows have their outcomes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import prefetch_related_objects
from rest_framework.response import Response

from . import conf, encoding
from .bulk.fetched import shown_relations
from .bulk.outcome import Kind
from .bulk.outcomes import Outcomes
from .bulk.shown import Shown
from .bulk.verb import Verb
from .errors import InvalidRowsError
from .idempotency import is_kept
from .renderers import RowsResponse
from .row_lines import RowLines, asks_for_lines
from .serializers import BulkModelSerializer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django.db.models import QuerySet
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from .bulk.operation import Operation
    from .bulk.outcome import Outcome
    from .bulk.pipeline import Target
    from .intent import Intent

__all__ = ("answer", "refusal", "wanted_columns", "with_headers")

AnyResponse = TypeVar("AnyResponse", bound="HttpResponseBase")

PAST = {
    Verb.CREATE: "created",
    Verb.UPDATE: "updated",
    Verb.REPLACE: "replaced",
    Verb.UPSERT: "upserted",
    Verb.PUT: "upserted",
    Verb.DELETE: "deleted",
}


def refusal(outcomes: Sequence[Outcome]) -> InvalidRowsError | None:
    """The error of a request whose rows must all be good; it names every bad one."""
    failed = Outcomes.of(outcomes).failed

    if not failed:
        return None

    return InvalidRowsError(
        f"{len(failed)} of {len(outcomes)} rows are not valid; nothing was written. "
        "Correct them and send all rows again.",
        extra={"rows": [_problem(outcome) for outcome in failed]},
    )


def answer(
    view: Any,
    target: Target,
    operation: Operation,
    intent: Intent,
    outcomes: Sequence[Outcome],
) -> HttpResponseBase:
    """The response, with what is stored now: PROTOCOL section 8.

    Many rows, asked for as NDJSON, are a `RowLines`, of which the first are made now.
    """
    response: HttpResponseBase

    if _is_by_lines(view.request, intent, outcomes):
        response = RowLines(
            view.request,
            _lines(view, target, intent, Outcomes.of(outcomes)),
            status=207 if intent.preferences.lenient else _status(intent),
        )
    elif intent.preferences.lenient:
        response = Response(_report(view, target, intent, outcomes), status=207)
    elif intent.verb is Verb.DELETE:
        response = Response(_count(intent, outcomes))
    elif intent.preferences.minimal:
        counted = {**_count(intent, outcomes), "serialization_skipped": True}
        response = Response(counted, status=_status(intent))
    else:
        known = Outcomes.of(outcomes)
        stored = _objects(view, target, known.pks, known.stored)
        body = stored[0] if intent.is_single else stored
        response = RowsResponse(body, status=_status(intent))

    return with_headers(response, operation, intent)


def _is_by_lines(request: Request, intent: Intent, outcomes: Sequence[Outcome]) -> bool:
    """Whether the rows are shown as they are sent. An answer that is kept, or that is
    one piece, is made whole."""
    tells_rows = intent.preferences.lenient or not (
        intent.verb is Verb.DELETE or intent.preferences.minimal
    )

    return (
        tells_rows
        and len(outcomes) > conf.current().batch_size
        and asks_for_lines(request)
        and not is_kept(request, intent)
    )


def _lines(
    view: Any, target: Target, intent: Intent, outcomes: Outcomes
) -> Iterator[bytes]:
    """As `RowsRenderer` makes them, a batch of rows at a time."""
    size = conf.current().batch_size
    lenient = intent.preferences.lenient
    head = encoding.encode(_counts(outcomes)) + b"\n" if lenient else b""

    for start in range(0, len(outcomes), size):
        if lenient:
            rows = _results(view, target, intent, outcomes[start : start + size])
        else:
            rows = _objects(view, target, outcomes.pks[start : start + size])

        yield head + b"".join(encoding.encode(row) + b"\n" for row in rows)
        head = b""


def with_headers(
    response: AnyResponse, operation: Operation, intent: Intent
) -> AnyResponse:
    """The response, saying how rows were written and which preferences were heeded."""
    response["Bulk-Mode"] = _mode(operation)

    if applied := _applied(intent):
        response["Preference-Applied"] = ", ".join(applied)

    return response


def _status(intent: Intent) -> int:
    return 201 if intent.verb is Verb.CREATE else 200


def _count(intent: Intent, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "message": f"Successfully {PAST[intent.verb]} {len(outcomes)} instances",
        "count": len(outcomes),
    }


def _report(
    view: Any, target: Target, intent: Intent, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Counts first, then the rows in input order."""
    results = _results(view, target, intent, outcomes)

    return {**_counts(outcomes), "results": results}


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return dataclasses.asdict(Outcomes.of(outcomes).counts())


def _results(
    view: Any, target: Target, intent: Intent, outcomes: Sequence[Outcome]
) -> list[dict[str, Any]]:
    wants_data = intent.verb is not Verb.DELETE and not intent.preferences.minimal
    written = Outcomes.of(outcomes).written()
    stored = iter(_objects(view, target, written) if wants_data else ())
    results: list[dict[str, Any]] = []

    for outcome in outcomes:
        if outcome.kind is Kind.FAILED:
            results.append({**_problem(outcome), "outcome": "failed"})
            continue

        result = {
            "row": outcome.row,
            "outcome": outcome.kind.value,
            "pk": outcome.pk,
        }

        if wants_data:
            result["data"] = next(stored)

        results.append(result)

    return results


def _problem(outcome: Outcome) -> dict[str, Any]:
    problem: dict[str, Any] = {"row": outcome.row}

    if outcome.line is not None:
        problem["line"] = outcome.line

    problem["errors"] = [dataclasses.asdict(error) for error in outcome.errors]

    return problem


def wanted_columns(view: Any, intent: Intent) -> Sequence[str]:
    """The columns that the answer will show, as far as this is known before."""
    preferences = intent.preferences

    if preferences.minimal or preferences.lenient or intent.verb is Verb.DELETE:
        return ()

    return Shown(view.get_serializer([], many=True)).columns


def _objects(
    view: Any,
    target: Target,
    pks: Sequence[Any],
    known: Mapping[str, Sequence[Any]] | None = None,
) -> Any:
    """What the view's serializer shows of these rows. `known`: what they hold."""
    base = target.model._base_manager.using(target.using).all()
    shown = Shown(view.get_serializer([], many=True))
    objects = shown.of_known(known) if known is not None else None

    if objects is None:
        objects = shown.of_stored((_shown_by(view, target), base), pks)

    if objects is not None:
        return objects

    found = _stored(view, target, pks)
    stored = [found[pk] for pk in pks if pk in found]
    serializer = view.get_serializer(stored, many=True)
    prefetch_related_objects(stored, *shown_relations(serializer, target.model))

    if len(stored) == len(pks):
        return serializer.data

    told = iter(serializer.data)

    return [next(told) if pk in found else None for pk in pks]


def _stored(view: Any, target: Target, pks: Sequence[Any]) -> dict[Any, Any]:
    """The rows as they are stored, by primary key. Others may have deleted some, once
    their transaction has ended."""
    found = _shown_by(view, target).in_bulk(set(pks))
    left = set(pks).difference(found)

    if left:
        # A row may have left the view's world by what was just written to it; DRF
        # answers with it all the same.
        manager = target.model._base_manager
        found |= manager.using(target.using).in_bulk(left)

    return found


def _shown_by(view: Any, target: Target) -> QuerySet[Any]:
    """Where the rows are read from."""
    serializer = view.get_serializer()

    if isinstance(serializer, BulkModelSerializer):
        return serializer.get_queryset().using(target.using)

    return target.world


def _mode(operation: Operation) -> str:
    if operation.mode == "batch":
        return "batch"

    reason = operation.reason.encode("ascii", "replace").decode()

    return 'rows; reason="{}"'.format(reason.replace("\\", "").replace('"', "'"))


def _applied(intent: Intent) -> list[str]:
    preferences = intent.preferences
    minimal = preferences.minimal and intent.verb is not Verb.DELETE

    return [
        name
        for name, is_applied in [
            ("return=minimal", minimal),
            ("handling=lenient", preferences.lenient),
            ("tx=rollback", preferences.rollback),
        ]
        if is_applied
    ]
