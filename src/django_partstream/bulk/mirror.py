"""What a table shows of values that were just written to it, without reading them.

Only values of which this is certain: nothing but the statement has a say in the table,
the column is of the type that its model says, and its database gives back such a value
as it came.
"""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any

from django.conf import settings

from . import columns as cols

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .columns import Column
    from .facts import Facts

__all__ = ("mirrored",)

#: By kind of column, the one type of its values.
KINDS: dict[str, type] = {
    "AutoField": int,
    "BigAutoField": int,
    "BigIntegerField": int,
    "BooleanField": bool,
    "CharField": str,
    "DateField": datetime.date,
    "DateTimeField": datetime.datetime,
    "DecimalField": Decimal,
    "IntegerField": int,
    "PositiveBigIntegerField": int,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "SlugField": str,
    "SmallAutoField": int,
    "SmallIntegerField": int,
    "TextField": str,
    "UUIDField": uuid.UUID,
}
#: SQLite holds decimals as floats, which have so many digits.
MAX_DIGITS = 15


def mirrored(
    column: Column, cells: Sequence[Any], facts: Facts, using: str
) -> Sequence[Any] | None:
    """What the column shows of these; None where only the database can tell."""
    stored = cols.stored_column(column)
    kind = KINDS.get(stored.get_internal_type())
    kinds = {*map(type, cells)} - {NoneType}

    if (
        not facts.is_plain
        or not facts.is_as_declared(column, using)
        or not type(stored).__module__.startswith("django.db.models.fields")
        or not kinds <= {kind}
    ):
        return None

    if kinds == {Decimal}:
        return cells if _are_of_scale(stored, cells) else None

    if kinds == {datetime.datetime}:
        return _in_utc(cells)

    return cells


def _are_of_scale(column: Any, cells: Sequence[Any]) -> bool:
    """Whether they have just the digits that the column has."""
    if column.max_digits is None or column.max_digits > MAX_DIGITS:
        return False

    values = [cell for cell in cells if cell is not None]
    unit = Decimal(1).scaleb(-column.decimal_places)

    return all(map(unit.same_quantum, values)) and not (
        # No database has a negative zero.
        0 in values and any(value.is_signed() for value in values if not value)
    )


def _in_utc(cells: Sequence[Any]) -> Sequence[Any] | None:
    zones = {cell.tzinfo for cell in cells if cell is not None}

    if not settings.USE_TZ or None in zones:
        return None

    if zones == {datetime.UTC}:
        return cells

    # In its own zone, a moment may be one that the clocks skipped.
    return [None if cell is None else cell.astimezone(datetime.UTC) for cell in cells]
