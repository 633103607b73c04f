"""What a part function returned, made into data that no longer asks a database."""

from __future__ import annotations

import datetime
import decimal
import inspect
import uuid
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.query import RawQuerySet
from django.utils.functional import Promise

__all__ = ("collect", "evaluate", "is_pending", "is_serializer", "is_settled")

_SCALARS = frozenset(
    (
        bool,
        bytes,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        float,
        int,
        str,
        type(None),
        uuid.UUID,
    )
)

#: How many values are looked at on the event loop.
_FEW = 1_000


def evaluate(value: Any) -> Any:
    """The value with everything lazy in it done: QuerySets and iterators are lists,
    serializers their data. Model instances stay as they are.

    May query the database: not for the event loop.
    """
    if type(value) in _SCALARS or isinstance(value, (str, bytes, Model)):
        return value

    if isinstance(value, Promise):
        return str(value)

    if is_serializer(value):
        return evaluate(value.data)

    if isinstance(value, (QuerySet, RawQuerySet)):
        return list(value)

    if isinstance(value, Mapping):
        return {key: evaluate(member) for key, member in value.items()}

    if type(value) is tuple:
        return tuple(evaluate(member) for member in value)

    if isinstance(value, (Sequence, Iterator)) or _is_view_of_dict(value):
        return [evaluate(member) for member in value]

    return value


def _is_view_of_dict(value: Any) -> bool:
    return isinstance(value, (type({}.keys()), type({}.values()), type({}.items())))


def is_serializer(value: Any) -> bool:
    """Known by what it offers, so that this layer needs no DRF."""
    return hasattr(type(value), "to_representation") and hasattr(type(value), "data")


def is_pending(value: Any) -> bool:
    """Whether only an event loop can go on with it."""
    return inspect.isawaitable(value) or (
        isinstance(value, AsyncIterable) and not isinstance(value, Iterable)
    )


def is_settled(value: Any) -> bool:
    """Whether this is plain data already, as far as a short look tells."""
    waiting, seen = [value], 0

    while waiting:
        one = waiting.pop()
        kind = type(one)
        seen += 1

        if kind in _SCALARS:
            continue

        if kind not in (dict, list, tuple) or seen + len(one) > _FEW:
            return False

        waiting.extend(one.values() if kind is dict else one)
        seen += len(one)

    return True


async def collect(items: AsyncIterable[Any]) -> list[Any]:
    """All items; the iterator is closed, however this ends."""
    iterator = aiter(items)

    try:
        return [item async for item in iterator]
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
