"""The schema of a part: of its serializer, its type hint, or the kind of its value."""

from __future__ import annotations

import collections.abc
import datetime
import decimal
import functools
import inspect
import typing
import uuid
from typing import Any

from django.db.models import Model, QuerySet
from drf_spectacular.plumbing import UnableToProceedError, resolve_type_hint
from rest_framework.serializers import BaseSerializer, ListSerializer

from django_partstream.parts.part import Lazy

from .pieces import ANYTHING, TEXT, Schema, array_of

__all__ = ("schema_of",)

#: What is sent as a list.
MANY = (
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.Sequence,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    list,
    tuple,
    set,
    frozenset,
    QuerySet,
)
#: As which a value of a part goes out that is there at once. Booleans are integers.
KINDS: tuple[tuple[Any, Schema], ...] = (
    (bool, {"type": "boolean"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    ((str, decimal.Decimal, datetime.time), TEXT),
    (collections.abc.Mapping, {"type": "object"}),
    ((list, tuple, set, frozenset, QuerySet), array_of(ANYTHING)),
)


def schema_of(value: Any, inspector: Any) -> Schema:
    """The schema of a part's data. `inspector` is drf-spectacular's AutoSchema."""
    if isinstance(value, BaseSerializer):
        return _of_serializer(value, inspector)

    if isinstance(value, Lazy):
        hint = _hint_of(value.fn)

        if value.serializer is not None:
            return _of_serialized(value.serializer, hint, inspector)

        return _of_hint(hint, inspector)

    for kinds, schema in KINDS:
        if isinstance(value, kinds):
            return dict(schema)

    return ANYTHING


def _of_serializer(serializer: BaseSerializer[Any], inspector: Any) -> Schema:
    if isinstance(serializer, ListSerializer):
        return array_of(_reference(serializer.child, inspector))

    return _reference(serializer, inspector)


def _of_serialized(serializer: Any, hint: Any, inspector: Any) -> Schema:
    """Of one instance or of many, whichever the function says that it gives."""
    one = _reference(serializer, inspector)

    if _is_many(hint):
        return array_of(one)

    if inspect.isclass(hint) and issubclass(hint, Model):
        return one

    return {"anyOf": [one, array_of(one)]}


def _reference(serializer: Any, inspector: Any) -> Schema:
    return dict(inspector.resolve_serializer(serializer, "response").ref)


def _of_hint(hint: Any, inspector: Any) -> Schema:
    if hint is None or hint is Any:
        return ANYTHING

    if inspect.isclass(hint) and issubclass(hint, BaseSerializer):
        return _reference(hint, inspector)

    if _is_many(hint):
        # An async generator says last what is sent to it, a sync one what it returns.
        inner = typing.get_args(hint)

        return array_of(_of_hint(inner[0], inspector) if inner else ANYTHING)

    try:
        return dict(resolve_type_hint(hint))
    except UnableToProceedError:
        return ANYTHING


def _is_many(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint

    return inspect.isclass(origin) and origin in MANY


def _hint_of(fn: Any) -> Any:
    """What a function says that it returns; None where it says nothing."""
    while isinstance(fn, functools.partial) or hasattr(fn, "__wrapped__"):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__wrapped__

    try:
        hints = typing.get_type_hints(fn)
    except (AttributeError, NameError, TypeError):
        # Names that only a type checker knows.
        return None

    return hints.get("return")
