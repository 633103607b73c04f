"""Texts of every kind, and choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .reading import UNSURE, Reading
from .rules import rules_of

if TYPE_CHECKING:
    from .rules import Rules

__all__ = ("choice", "text")


def text(field: Any) -> Reading | None:
    """CharField and its kin; what they add is in their validators."""
    rules = rules_of(field, is_text=True)

    if rules is None:
        return None

    trims = bool(field.trim_whitespace)
    blank = "" if field.allow_blank else UNSURE

    def of_text(given: str) -> Any:
        value = given.strip() if trims else given

        if not value:
            return blank

        return value if _admits(rules, value) else UNSURE

    def of_number(given: float) -> Any:
        return of_text(str(given))

    def texts(given: list[str]) -> list[str] | None:
        values = [*map(str.strip, given)] if trims else given

        return values if all(values) and _admits_all(rules, values) else None

    return Reading(
        one={float: of_number, int: of_number, str: of_text},
        whole={} if rules.calls else {str: texts},
        null=None if field.allow_null else UNSURE,
        is_blank_exempt=True,
    )


def _admits(rules: Rules, value: str) -> bool:
    if not rules.shortest <= len(value) or "\0" in value:
        return False

    if rules.longest is not None and len(value) > rules.longest:
        return False

    if not value.isascii():
        # Lone surrogates alone have no such form.
        value.encode()

    for call in rules.calls:
        call(value)

    return True


def _admits_all(rules: Rules, values: list[str]) -> bool:
    if rules.longest is not None and max(map(len, values)) > rules.longest:
        return False

    if rules.shortest and min(map(len, values)) < rules.shortest:
        return False

    joined = "".join(values)

    return joined.isascii() and "\0" not in joined


def choice(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None:
        return None

    choices = field.choice_strings_to_values

    def of_any(given: Any) -> Any:
        if given == "" and field.allow_blank:
            value = ""
        else:
            value = choices.get(str(given), UNSURE)

        for call in rules.calls:
            call(value)

        return value

    # A bound on what may be of any type is for the field itself to apply.
    if rules.lowest is not None or rules.highest is not None:
        return None

    return Reading(
        one={bool: of_any, int: of_any, str: of_any},
        null=None if field.allow_null else UNSURE,
    )
