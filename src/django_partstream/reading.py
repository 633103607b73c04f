"""Many objects, asked for by their primary keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from rest_framework.response import Response

from . import conf
from .bulk import columns as cols
from .bulk.entry import DENIALS, Target
from .bulk.matching import Finder, instances
from .errors import BadRequestError, TooManyRowsError
from .target import asks_objects

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from .bulk.columns import Column
    from .bulk.matching import Key

__all__ = ("allowed", "by_keys", "keys_of", "may_see", "multi_get")


def multi_get(view: Any, request: Request) -> Response:
    """`?ids=1,2`: the objects with these primary keys, in this order.

    What the caller may not see, or is not there, is listed as `missing`, all alike.
    Raises BadRequestError for what is no primary key, TooManyRowsError for more of
    them than rows are answered at once.
    """
    queryset = view.filter_queryset(view.get_queryset())
    world = Target(get_serializer=view.get_serializer, queryset=queryset).world
    texts = [text.strip() for text in request.query_params["ids"].split(",")]
    texts = [text for text in texts if text]
    limit = view.sync_max_rows or conf.current().sync_max_rows

    if len(texts) > limit:
        raise TooManyRowsError(
            f"{len(texts)} ids were asked for; at most {limit} are answered at once. "
            "Ask for them in parts."
        )

    return Response(by_keys(view, world, keys_of(world, texts)))


def keys_of(world: QuerySet[Any], texts: Iterable[str]) -> list[Key]:
    """These texts as primary keys. Raises BadRequestError for what is none."""
    column = world.model._meta.pk

    return [_key(column, text) for text in texts]


def by_keys(view: Any, world: QuerySet[Any], keys: list[Key]) -> dict[str, Any]:
    """The answer to a question for objects with these primary keys."""
    there = allowed(view, world, keys)
    shown = [there[key] for key in keys if key in there]

    return {
        "count": len(shown),
        "results": view.get_serializer(shown, many=True).data,
        "operation_type": "multi_get",
        "missing": [key[0] for key in dict.fromkeys(keys) if key not in there],
    }


def allowed(view: Any, world: QuerySet[Any], keys: Collection[Key]) -> dict[Key, Any]:
    """Those objects of the world that have one of these keys and may be seen."""
    finder = Finder(world, (world.model._meta.pk,), instances)
    found = {key: rows[0] for key, rows in finder.find(set(keys)).rows.items()}

    return {key: row for key, row in found.items() if may_see(view, row)}


def _key(column: Column, text: str) -> Key:
    try:
        return (cols.identity(column, column.to_python(text)),)
    except ValidationError as error:
        raise BadRequestError(
            f"ids has {text[:80]!r}: {' '.join(error.messages)}"
        ) from error


def may_see(view: Any, instance: Any) -> bool:
    """As a GET of this one would say."""
    if not any(map(asks_objects, view.get_permissions())):
        return True

    try:
        view.check_object_permissions(view.request, instance)
    except DENIALS:
        return False

    return True
