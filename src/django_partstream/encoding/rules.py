"""What a value is in the types that JSON has, by DRF's rules."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import json
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

import orjson
from django.db.models import Model
from django.utils.encoding import force_str
from django.utils.functional import Promise
from rest_framework.utils.encoders import JSONEncoder

from .refusing import (
    BAD_FRAGMENT,
    COROUTINE,
    FUNCTION,
    KEY,
    MODEL,
    NO_RULE,
    NOT_FINITE,
    NOT_UTF8,
    SERIALIZER,
    SURROGATE,
    TOO_LONG,
    ZONED_TIME,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("CHECKED", "EXACT", "Encoded", "key_text", "plain_default", "simpler")

#: JSON that is encoded already, as bytes or str: exactly one valid JSON value, which
#: is not checked. `encode` embeds it as it is, at any depth.
Encoded = orjson.Fragment

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


class _NoRule(json.JSONEncoder):
    def default(self, o: Any) -> NoReturn:
        raise RefusedError(o, _mend(o))


def _mend(value: Any) -> str:
    if inspect.iscoroutine(value):
        value.close()
        return COROUTINE

    if inspect.isroutine(value):
        return FUNCTION

    return getattr(type(value), "encoding_hint", NO_RULE)


class _Rules(JSONEncoder, _NoRule):
    # DRF's `super().default(obj)` for what it does not know lands in _NoRule, so that
    # a refusal is never mistaken for a TypeError out of the value's own code.
    pass


_drf_default: Final[Callable[[Any], Any]] = _Rules().default


def _datetime(value: datetime.datetime) -> Any:
    # For these two orjson writes what DRF does, in a third of the time.
    if value.tzinfo is None or value.tzinfo is datetime.UTC:
        return Encoded(orjson.dumps(value, None, orjson.OPT_UTC_Z))

    return _drf_default(value)


def _decimal(value: decimal.Decimal) -> float:
    try:
        return _finite(float(value))
    except ValueError as error:  # A signalling NaN.
        raise RefusedError(value, NOT_FINITE) from error


# By exact type, for what comes in numbers.
EXACT: Final[dict[type, Callable[[Any], Any]]] = {
    datetime.datetime: _datetime,
    datetime.date: datetime.date.isoformat,
    decimal.Decimal: _decimal,
}


def plain_default(value: Any) -> Any:
    if (exact := EXACT.get(type(value))) is None:
        raise RefusedError(value, NO_RULE)

    return exact(value)


def simpler(value: Any) -> Any:
    """The value in simpler types: json.dumps's rules first, which look past what a
    subclass overrides in str, int and float, then DRF's."""
    kind = type(value)

    if issubclass(kind, str):
        return str.__str__(value)

    if issubclass(kind, int):
        return int.__int__(value)

    if issubclass(kind, float):
        return _finite(float.__pos__(value))

    if issubclass(kind, list):
        return list(value)

    if issubclass(kind, tuple):
        return tuple(value)

    if issubclass(kind, dict):
        return dict(value.items()) if dict.__len__(value) else {}

    return _by_drf(value)


def _by_drf(value: Any) -> Any:
    if isinstance(value, Model):
        raise RefusedError(value, MODEL)

    if isinstance(value, decimal.Decimal):
        return _decimal(value)

    if hasattr(type(value), "to_representation") and hasattr(type(value), "data"):
        raise RefusedError(value, SERIALIZER)

    try:
        result = _drf_default(value)
    except RefusedError:
        # orjson takes the members of a class made by EnumType itself; those of one
        # with another metaclass, such as Django's Choices, come here.
        if not isinstance(value, enum.Enum):
            raise

        result = value.value
    except ValueError as error:
        if isinstance(value, bytes):
            raise RefusedError(value, NOT_UTF8) from error

        if isinstance(value, datetime.time):
            raise RefusedError(value, ZONED_TIME) from error

        raise

    return _finite(result) if type(result) is float else result


def _finite(number: float, *, noun: str = "value") -> float:
    if not math.isfinite(number):
        raise RefusedError(number, NOT_FINITE, noun=noun)

    return number


def _utf8(text: str, *, noun: str = "value") -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RefusedError(text, SURROGATE, noun=noun) from error

    return text


def _digits(number: int, *, noun: str = "value") -> str:
    try:
        return int.__repr__(number)
    except ValueError as error:
        raise RefusedError(number, TOO_LONG, noun=noun) from error


def _integer(number: int) -> int | orjson.Fragment:
    if _MIN_INT <= number <= _MAX_INT:
        return number

    return Encoded(_digits(number).encode())


def _fragment(fragment: orjson.Fragment) -> orjson.Fragment:
    try:
        orjson.dumps(fragment)
    except orjson.JSONEncodeError as error:
        raise RefusedError(fragment, BAD_FRAGMENT) from error

    return fragment


# What orjson takes itself, if it passes.
CHECKED: Final[dict[type, Callable[[Any], Any]]] = {
    float: _finite,
    int: _integer,
    orjson.Fragment: _fragment,
    str: _utf8,
}

_CONSTANTS: Final = {True: "true", False: "false", None: "null"}


def key_text(key: Any) -> str:
    """The text of a key, as json.dumps has it."""
    kind = type(key)

    if issubclass(kind, str):
        return _utf8(str.__str__(key), noun="key")

    if key is None or kind is bool:
        return _CONSTANTS[key]

    if issubclass(kind, int):
        return _digits(key, noun="key")

    if issubclass(kind, float):
        return float.__repr__(_finite(key, noun="key"))

    if isinstance(key, Promise):
        return _utf8(force_str(key), noun="key")

    raise RefusedError(key, KEY, noun="key")
