"""Fields whose own code is asked, once for each value: what it says depends on nothing
else."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from rest_framework import fields

from .reading import UNSURE, Reading
from .rules import rules_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("address", "composite", "json_value", "many_choices", "unique_id")


def unique_id(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None or not rules.is_empty:
        return None

    return Reading(one={str: uuid.UUID}, null=_null(field))


def address(field: Any) -> Reading | None:
    """Whether its validators are called for an empty text is as in any CharField."""
    if rules_of(field, is_text=True) is None:
        return None

    return Reading(one={str: _stock(field)}, null=_null(field), is_blank_exempt=True)


def json_value(field: Any) -> Reading | None:
    rules = rules_of(field)

    if rules is None or not rules.is_empty or field.binary:
        return None

    stock = field.to_internal_value

    return Reading(
        one=dict.fromkeys((bool, dict, float, int, list, str), stock),
        null=_null(field),
    )


def many_choices(field: Any) -> Reading | None:
    if rules_of(field) is None:
        return None

    return Reading(one={list: _stock(field)}, null=_null(field))


def composite(field: Any) -> Reading | None:
    """Lists and dicts of values whose fields are known to depend on nothing else."""
    if rules_of(field) is None or not _is_pure(field.child):
        return None

    return Reading(one=dict.fromkeys((dict, list), _stock(field)), null=_null(field))


def _is_pure(child: Any) -> bool:
    from .fields import is_stock, reading_of

    if any(getattr(v, "requires_context", False) for v in child.validators):
        return False

    if type(child) is fields._UnvalidatedField:
        return is_stock(child) and not child.validators

    return reading_of(child) is not None


def _stock(field: Any) -> Callable[[Any], Any]:
    """All of the field, its uniqueness apart: that is asked for whole columns."""
    convert = field.to_internal_value
    validators = [
        validator
        for validator in field.validators
        if not getattr(validator, "requires_context", False)
    ]

    def of_any(value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            return UNSURE

        found = convert(value)

        for validator in validators:
            validator(found)

        return found

    return of_any


def _null(field: Any) -> Any:
    return None if field.allow_null else UNSURE
