"""Whole columns of values, as the database driver wants them.

What is not known here goes through Django's own `get_db_prep_save`, value by value;
what is known comes out the same.
"""

from __future__ import annotations

import datetime
import json
import uuid
import zoneinfo
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from . import columns as cols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .columns import Column

    Prepare = Callable[[Sequence[Any], BaseDatabaseWrapper], list[Any] | None]

__all__ = ("check_encodable", "prepared")

INTEGERS = (
    "AutoField",
    "BigAutoField",
    "BigIntegerField",
    "IntegerField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "SmallAutoField",
    "SmallIntegerField",
)
UTC = frozenset({datetime.UTC, zoneinfo.ZoneInfo("UTC")})
VENDORS = frozenset({"postgresql", "sqlite"})


def prepared(
    column: Column,
    values: Sequence[Any],
    connection: BaseDatabaseWrapper,
    *,
    in_array: bool = False,
) -> list[Any]:
    """What `get_db_prep_save` makes of each value. In an array of PostgreSQL's, which
    is cast as a whole, integers need not be told their size."""
    target = cols.stored_column(column)
    kinds = {*map(type, values)} - {NoneType}

    if in_array and kinds == {int} and _is_stock(target) and _holds_integers(target):
        return [*values]

    if connection.vendor in VENDORS and len(kinds) == 1 and _is_stock(target):
        (kind,) = kinds
        prepare = KNOWN.get((target.get_internal_type(), kind))
        found = None if prepare is None else prepare(values, connection)

        if found is not None:
            return found

    prepare_one = column.get_db_prep_save
    made = [prepare_one(value, connection) for value in values]

    if isinstance(target, models.JSONField):
        check_encodable(made)

    return made


def check_encodable(values: Iterable[Any]) -> None:
    """Raises UnicodeError for JSON with a lone surrogate: not every database refuses
    it, and nobody could be answered with it."""
    for value in values:
        if isinstance(value, str) and "\\ud" in value.lower():
            json.dumps(json.loads(value), ensure_ascii=False).encode()


def _is_stock(column: Column) -> bool:
    return type(column).__module__.startswith("django.db.models.fields")


def _holds_integers(column: Column) -> bool:
    return column.get_internal_type() in INTEGERS


def _same(values: Sequence[Any], _: BaseDatabaseWrapper) -> list[Any]:
    return [*values]


def _integers(
    values: Sequence[Any], connection: BaseDatabaseWrapper
) -> list[Any] | None:
    return [*values] if connection.vendor == "sqlite" else None


def _decimals(
    values: Sequence[Any], connection: BaseDatabaseWrapper
) -> list[Any] | None:
    adapt = type(connection.ops).adapt_decimalfield_value

    if adapt is not BaseDatabaseOperations.adapt_decimalfield_value:
        return None

    is_finite = all(value is None or value.is_finite() for value in values)

    return [*values] if is_finite else None


def _moments(
    values: Sequence[Any], connection: BaseDatabaseWrapper
) -> list[Any] | None:
    if not settings.USE_TZ or any(v is not None and v.tzinfo is None for v in values):
        return None

    if connection.vendor == "postgresql":
        return [*values]

    zone = connection.timezone
    zones = {None if value is None else value.tzinfo for value in values} - {None}

    if zone in UTC and zones <= UTC:
        # Without the offset, which is +00:00.
        return [None if value is None else str(value)[:-6] for value in values]

    return [
        None if value is None else str(value.astimezone(zone).replace(tzinfo=None))
        for value in values
    ]


def _dates(values: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    if connection.vendor == "postgresql":
        return [*values]

    return [None if value is None else str(value) for value in values]


def _ids(values: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    if connection.features.has_native_uuid_field:
        return [*values]

    return [None if value is None else value.hex for value in values]


#: By kind of column and exact type of all its values that are not null.
KNOWN: dict[tuple[str, type], Prepare] = {
    ("BooleanField", bool): _same,
    ("CharField", str): _same,
    ("DateField", datetime.date): _dates,
    ("DateTimeField", datetime.datetime): _moments,
    ("DecimalField", Decimal): _decimals,
    ("FloatField", float): _same,
    ("SlugField", str): _same,
    ("TextField", str): _same,
    ("UUIDField", uuid.UUID): _ids,
    **{(kind, int): _integers for kind in INTEGERS},
}
