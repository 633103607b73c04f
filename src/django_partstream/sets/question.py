"""Which objects are asked for: by the query string, or by a body of JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django_partstream import filters, uploads
from django_partstream.bulk.entry import Target
from django_partstream.errors import BadRequestError
from django_partstream.intent import read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from rest_framework.request import Request

__all__ = ("Question", "read_question", "world")

MEMBERS = ("ids", "filters")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a request asks for, beside what the view's own filters make of it."""

    #: Primary keys as they came, in this order; None: whatever the filters leave.
    ids: tuple[str, ...] | None
    filters: Mapping[str, Any]


def read_question(request: Request) -> Question:
    """Raises our 4xx errors for what is no question."""
    given = _body(request)
    unknown = [name for name in given if name not in MEMBERS]

    if unknown:
        raise BadRequestError(
            f"The body has {unknown[0][:80]!r}; expected 'filters' and 'ids'."
        )

    asked = given.get("filters") or {}

    if not isinstance(asked, dict):
        raise BadRequestError("filters must be an object of fields.")

    return Question(ids=_ids(request, given), filters=asked)


def _body(request: Request) -> Mapping[str, Any]:
    if not _has_body(request):
        return {}

    body = read_body(request)

    if body.content_type != "application/json":
        raise BadRequestError(
            'A question is JSON: {"filters": {"amount": {"gte": 100}}, "ids": [1, 2]}.'
        )

    _, given = uploads.unwrapped(body)

    if given is None:
        raise BadRequestError(
            'A question is an object, {"filters": …, "ids": …}, and not an array.'
        )

    return given


def _has_body(request: Request) -> bool:
    length = request.META.get("CONTENT_LENGTH") or "0"

    return length != "0" or "Transfer-Encoding" in request.headers


def _ids(request: Request, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "ids" in request.query_params:
        texts = [text.strip() for text in request.query_params["ids"].split(",")]

        return tuple(text for text in texts if text)

    ids = given.get("ids")

    if ids is None:
        return None

    if not isinstance(ids, list) or not all(
        isinstance(one, int | str) and not isinstance(one, bool) for one in ids
    ):
        raise BadRequestError("ids must be an array of primary keys.")

    return tuple(str(one) for one in ids)


def world(view: Any, asked: Mapping[str, Any]) -> QuerySet[Any]:
    """The rows that the view shows to this request and that fit these filters, in a
    form that can be filtered further. Raises InvalidFilterError."""
    queryset = view.filter_queryset(view.get_queryset())
    shown = Target(get_serializer=view.get_serializer, queryset=queryset).world

    return filters.narrowed(view, shown, asked)
