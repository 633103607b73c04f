"""Booleans, integers, floats and decimals."""

from __future__ import annotations

import decimal
import math
import re
from typing import TYPE_CHECKING, Any

from .reading import UNSURE, Reading
from .rules import rules_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rules import Rules

__all__ = ("boolean", "decimal_number", "floating", "integer")

# Integers that every text form of is read back, in whatever way.
LARGEST = 10**15
DIGITS = len(str(LARGEST)) - 1
INTEGER_TEXT = re.compile(rf"-?[0-9]{{1,{DIGITS}}}").fullmatch


def boolean(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None or not rules.is_empty:
        return None

    texts: dict[str, bool] = {}
    # As in the stock field: what is in both is true.
    texts |= {value: False for value in field.FALSE_VALUES if type(value) is str}
    texts |= {value: True for value in field.TRUE_VALUES if type(value) is str}

    def of_text(value: str) -> Any:
        return texts.get(value.lower(), UNSURE)

    def of_number(value: float) -> Any:
        if value in field.TRUE_VALUES:
            return True

        return False if value in field.FALSE_VALUES else UNSURE

    return Reading(
        one={bool: of_number, float: of_number, int: of_number, str: of_text},
        null=_null(field),
    )


def integer(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None:
        return None

    lowest, highest = _bounds(rules)

    def of_int(value: int) -> Any:
        if not lowest <= value <= highest:
            return UNSURE

        for call in rules.calls:
            call(value)

        return value

    def of_text(value: str) -> Any:
        return of_int(int(value)) if INTEGER_TEXT(value) else UNSURE

    def of_float(value: float) -> Any:
        # Larger ones are written with an exponent.
        return of_int(int(value)) if value.is_integer() else UNSURE

    return Reading(
        one={int: of_int, float: of_float, str: of_text},
        whole={} if rules.calls else _integers(lowest, highest),
        null=_null(field),
    )


def _integers(
    lowest: Any, highest: Any
) -> dict[type, Callable[[list[Any]], list[Any] | None]]:
    def ints(values: list[int]) -> list[int] | None:
        if lowest <= min(values) and max(values) <= highest:
            return values

        return None

    def texts(values: list[str]) -> list[int] | None:
        joined = "".join(values)

        if (
            not (joined.isascii() and joined.isdigit() and all(values))
            or max(map(len, values)) > DIGITS
        ):
            return None

        return ints([*map(int, values)])

    return {int: ints, str: texts}


def floating(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None:
        return None

    longest = field.MAX_STRING_LENGTH

    def of_number(given: float) -> Any:
        value = float(given)

        return value if math.isfinite(value) and rules.admits(value) else UNSURE

    def of_text(value: str) -> Any:
        return of_number(float(value)) if len(value) <= longest else UNSURE

    def floats(values: list[float]) -> list[float] | None:
        return values if all(map(math.isfinite, values)) else None

    return Reading(
        one={float: of_number, int: of_number, str: of_text},
        whole={float: floats} if rules.is_empty else {},
        null=_null(field),
    )


def decimal_number(field: Any) -> Reading | None:
    """Numbers that fit the column as they are, so that nothing is rounded."""
    rules = rules_of(field)
    digits, places = field.max_digits, field.decimal_places

    if (
        rules is None
        or field.localize
        or type(digits) is not int
        or type(places) is not int
        or not 0 <= places < digits <= decimal.getcontext().prec
    ):
        return None

    context = decimal.getcontext().copy()
    context.prec = digits
    exponent = decimal.Decimal(".1") ** places
    whole = digits - places
    pattern = rf"\s*-?[0-9]{{1,{whole}}}"
    pattern += rf"(\.[0-9]{{1,{places}}})?\s*" if places else r"\s*"
    fits = re.compile(pattern, re.ASCII).fullmatch
    plain = pattern.replace(r"\s*", "")
    all_fit = re.compile(rf"(?:{plain}\n)*{plain}").fullmatch
    limit = 10**whole
    quantize: Callable[..., decimal.Decimal] = decimal.Decimal.quantize

    def of_text(value: str) -> Any:
        if not fits(value):
            # Blank is null to this field, where it may be.
            return UNSURE

        found = quantize(decimal.Decimal(value), exponent, field.rounding, context)

        return found if rules.admits(found) else UNSURE

    def of_int(value: int) -> Any:
        if not -limit < value < limit:
            return UNSURE

        found = quantize(decimal.Decimal(value), exponent, field.rounding, context)

        return found if rules.admits(found) else UNSURE

    def of_float(value: float) -> Any:
        return of_text(str(value))

    def texts(values: list[str]) -> list[decimal.Decimal] | None:
        if not all_fit("\n".join(values)):
            return None

        try:
            found = [*map(decimal.Decimal, values)]
        except decimal.InvalidOperation:
            # One of them had a line end within.
            return None

        return [quantize(one, exponent, field.rounding, context) for one in found]

    return Reading(
        one={float: of_float, int: of_int, str: of_text},
        whole={str: texts} if rules.is_empty else {},
        null=_null(field),
    )


def _bounds(rules: Rules) -> tuple[Any, Any]:
    lowest, highest = rules.lowest, rules.highest

    return (
        1 - LARGEST if lowest is None else max(lowest, 1 - LARGEST),
        LARGEST - 1 if highest is None else min(highest, LARGEST - 1),
    )


def _null(field: Any) -> Any:
    return None if field.allow_null else UNSURE
