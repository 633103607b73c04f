"""What a bulk request is answered, once its rows have their outcomes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.db.models import prefetch_related_objects
from rest_framework.response import Response

from .bulk.fetched import shown_relations
from .bulk.outcome import Kind
from .bulk.outcomes import Outcomes
from .bulk.shown import shown
from .bulk.verb import Verb
from .errors import InvalidRowsError
from .serializers import BulkModelSerializer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

    from .bulk.operation import Operation
    from .bulk.outcome import Outcome
    from .bulk.pipeline import Target
    from .intent import Intent

__all__ = ("answer", "refusal", "with_headers")

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
) -> Response:
    """The response, with what is stored now: PROTOCOL section 8."""
    if intent.preferences.lenient:
        response = Response(_report(view, target, intent, outcomes), status=207)
    elif intent.verb is Verb.DELETE:
        response = Response(_count(intent, outcomes))
    elif intent.preferences.minimal:
        counted = {**_count(intent, outcomes), "serialization_skipped": True}
        response = Response(counted, status=_status(intent))
    else:
        stored = _objects(view, target, Outcomes.of(outcomes).pks)
        body = stored[0] if intent.is_single else stored
        response = Response(body, status=_status(intent))

    return with_headers(response, operation, intent)


def with_headers(response: Response, operation: Operation, intent: Intent) -> Response:
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
    wants_data = intent.verb is not Verb.DELETE and not intent.preferences.minimal
    known = Outcomes.of(outcomes)
    written = known.written()
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

    return {**dataclasses.asdict(known.counts()), "results": results}


def _problem(outcome: Outcome) -> dict[str, Any]:
    problem: dict[str, Any] = {"row": outcome.row}

    if outcome.line is not None:
        problem["line"] = outcome.line

    problem["errors"] = [dataclasses.asdict(error) for error in outcome.errors]

    return problem


def _objects(view: Any, target: Target, pks: Sequence[Any]) -> Any:
    base = target.model._base_manager.using(target.using).all()
    worlds = (_shown_by(view, target), base)
    objects = shown(view.get_serializer([], many=True), worlds, pks)

    if objects is not None:
        return objects

    stored = _stored(view, target, pks)
    serializer = view.get_serializer(stored, many=True)
    prefetch_related_objects(stored, *shown_relations(serializer, target.model))

    return serializer.data


def _stored(view: Any, target: Target, pks: Sequence[Any]) -> list[Any]:
    """The rows as they are stored, in this order."""
    found = _shown_by(view, target).in_bulk(set(pks))
    left = set(pks).difference(found)

    if left:
        # A row may have left the view's world by what was just written to it; DRF
        # answers with it all the same.
        manager = target.model._base_manager
        found |= manager.using(target.using).in_bulk(left)

    return [found[pk] for pk in pks]


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
