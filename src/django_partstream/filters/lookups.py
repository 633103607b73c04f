"""The look-ups, and what each takes for its value. Values only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rest_framework import serializers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("MAX_VALUES", "InvalidValueError", "lookups_of", "value_of")

#: Of one `in`.
MAX_VALUES = 1_000

EQUALITY = ("exact", "in", "isnull")
ORDER = ("gt", "gte", "lt", "lte", "range")
TEXT = (
    "iexact",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
)
DAY = ("year", "month", "day")

#: By the kind of field; the first that fits.
KINDS: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (serializers.ChoiceField, (*EQUALITY, *TEXT)),
    (serializers.BooleanField, EQUALITY),
    (serializers.UUIDField, EQUALITY),
    (serializers.IPAddressField, (*EQUALITY, *TEXT)),
    (serializers.CharField, (*EQUALITY, *ORDER, *TEXT)),
    # Of parts of a moment the year alone: MariaDB needs its tables of time zones for
    # the others, and finds nothing without them.
    (serializers.DateTimeField, (*EQUALITY, *ORDER, "year")),
    (serializers.DateField, (*EQUALITY, *ORDER, *DAY)),
    (serializers.IntegerField, (*EQUALITY, *ORDER)),
    (serializers.FloatField, (*EQUALITY, *ORDER)),
    (serializers.DecimalField, (*EQUALITY, *ORDER)),
    (serializers.TimeField, (*EQUALITY, *ORDER)),
    (serializers.DurationField, (*EQUALITY, *ORDER)),
    (serializers.PrimaryKeyRelatedField, EQUALITY),
    (serializers.SlugRelatedField, EQUALITY),
)

#: The numbers that parts of a date can be.
PARTS = {"year": (1, 9999), "month": (1, 12), "day": (1, 31)}


class InvalidValueError(ValueError):
    """What a look-up was given is not what it takes; the text says so to the client."""


def lookups_of(field: serializers.Field[Any, Any, Any, Any]) -> tuple[str, ...]:
    """The look-ups that make sense for such a field; none for structures."""
    for kind, lookups in KINDS:
        if isinstance(field, kind):
            return lookups

    return ()


def value_of(lookup: str, value: Any, read: Callable[[Any], Any]) -> Any:
    """The value of a look-up, each piece of it as the field reads it.

    Raises InvalidValueError, and what `read` raises.
    """
    if lookup == "isnull":
        if not isinstance(value, bool):
            raise InvalidValueError("expected true or false")

        return value

    if lookup in PARTS:
        return _part(lookup, value)

    if lookup == "in":
        if not isinstance(value, list) or len(value) > MAX_VALUES:
            raise InvalidValueError(f"expected an array of at most {MAX_VALUES} values")

        return [_single(one, read) for one in value]

    if lookup == "range":
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidValueError("expected an array of two values")

        return tuple(_single(one, read) for one in value)

    if lookup in TEXT:
        # A piece of a text need not be a whole one.
        return _text(value)

    return _single(value, read)


def _single(value: Any, read: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict | list) or value is None:
        raise InvalidValueError("expected a single value")

    result = read(_text(value) if isinstance(value, str) else value)

    if isinstance(result, float) and not math.isfinite(result):
        raise InvalidValueError("expected a number that is finite")

    return result


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValueError("expected a text")

    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidValueError("expected a text without null or lone surrogates")

    return value


def _part(lookup: str, value: Any) -> int:
    least, most = PARTS[lookup]

    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidValueError("expected a whole number")

    if not least <= value <= most:
        raise InvalidValueError(f"expected a number from {least} to {most}")

    return value
