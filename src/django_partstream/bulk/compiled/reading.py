"""How the cells of one column are read."""

from __future__ import annotations

import dataclasses
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("ABSENT", "UNSURE", "Absent", "Reading", "Unsure", "read")


class Absent:
    """The type of ABSENT."""


class Unsure:
    """The type of UNSURE."""


#: The row has no such member.
ABSENT: Final = Absent()
#: Only the stock field can tell.
UNSURE: Final = Unsure()

# By which a conversion says that the stock field may refuse the value.
DOUBTS = (
    ArithmeticError,
    DjangoValidationError,
    ObjectDoesNotExist,
    TypeError,
    ValidationError,
    ValueError,
)
NOTHING = frozenset({Absent, NoneType})
# Of these, equal values of one type are the same value. Not so 0.0 and -0.0, or moments
# in two zones. True is equal to 1.
NUMBERS = frozenset({bool, int})
REPEATABLE = frozenset({str, *NUMBERS, *NOTHING})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a stock field makes of values, by their exact type.

    `one` converts a value, or returns UNSURE, or raises one of DOUBTS. `whole` is
    given a column of that type alone and converts all of it, or returns None; it may
    return the very list that it was given.
    """

    one: Mapping[type, Callable[[Any], Any]]
    whole: Mapping[type, Callable[[list[Any]], list[Any] | None]] = dataclasses.field(
        default_factory=dict
    )
    #: What null is.
    null: Any = UNSURE
    #: Whether the stock field runs no validators for an empty text.
    is_blank_exempt: bool = False


def read(reading: Reading, cells: list[Any]) -> list[Any]:
    """What is made of each cell. ABSENT stays as it is."""
    kinds = {*map(type, cells)}
    filled = kinds - NOTHING

    if len(filled) == 1:
        values = _whole(reading, cells, kinds, *filled)

        if values is not None:
            return values

    if kinds <= REPEATABLE and not kinds >= NUMBERS:
        made = {cell: _one(reading, cell) for cell in {*cells}}

        return [*map(made.__getitem__, cells)]

    return [_one(reading, cell) for cell in cells]


def _whole(
    reading: Reading, cells: list[Any], kinds: set[type], kind: type
) -> list[Any] | None:
    whole = reading.whole.get(kind)

    if whole is None:
        return None

    if kinds == {kind}:
        return _made(whole, cells, kind)

    if NoneType in kinds and reading.null is not None:
        return None

    given = [cell for cell in cells if cell is not None and cell is not ABSENT]
    values = _made(whole, given, kind)

    if values is None or values is given:
        return None if values is None else cells

    in_order = iter(values)

    return [
        cell if cell is None or cell is ABSENT else next(in_order) for cell in cells
    ]


def _made(
    whole: Callable[[list[Any]], list[Any] | None], cells: list[Any], kind: type
) -> list[Any] | None:
    """What becomes of the cells; of a text that comes often, but once."""
    distinct = [*{*cells}] if kind is str else ()

    if not distinct or len(distinct) > len(cells) // 2:
        return whole(cells)

    values = whole(distinct)

    if values is None:
        return None

    if values is distinct:
        return cells

    return [*map(dict(zip(distinct, values, strict=True)).__getitem__, cells)]


def _one(reading: Reading, cell: Any) -> Any:
    if cell is ABSENT:
        return ABSENT

    if cell is None:
        return reading.null

    convert = reading.one.get(type(cell))

    if convert is None:
        return UNSURE

    try:
        return convert(cell)
    except DOUBTS:
        return UNSURE
