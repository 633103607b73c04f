"""The validators of a stock field, as far as a reading may answer for them."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.core import validators as django_validators
from rest_framework import validators as drf_validators
from rest_framework.validators import UniqueValidator

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Rules", "rules_of")

# By exact type. What they say depends on nothing but the value.
PURE = frozenset(
    {
        django_validators.DecimalValidator,
        django_validators.DomainNameValidator,
        django_validators.EmailValidator,
        django_validators.MaxLengthValidator,
        django_validators.MaxValueValidator,
        django_validators.MinLengthValidator,
        django_validators.MinValueValidator,
        django_validators.ProhibitNullCharactersValidator,
        django_validators.RegexValidator,
        django_validators.StepValueValidator,
        django_validators.URLValidator,
        drf_validators.ProhibitSurrogateCharactersValidator,
    }
)
PURE_FUNCTIONS = (
    django_validators.validate_ipv4_address,
    django_validators.validate_ipv6_address,
    django_validators.validate_ipv46_address,
)
NUMBERS = frozenset({int, float, Decimal})


@dataclasses.dataclass(slots=True)
class Rules:
    """What a value must be like."""

    lowest: Any = None
    highest: Any = None
    shortest: int = 0
    longest: int | None = None
    #: Neither NUL nor lone surrogates.
    is_text: bool = False
    #: All others; they raise.
    calls: list[Callable[[Any], Any]] = dataclasses.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return self == Rules()

    def admits(self, value: Any) -> bool:
        """Whether a number is within the bounds. Raises what the calls raise."""
        if self.lowest is not None and value < self.lowest:
            return False

        if self.highest is not None and value > self.highest:
            return False

        for call in self.calls:
            call(value)

        return True


def rules_of(field: Any, *, is_text: bool = False) -> Rules | None:
    """The rules of this field, uniqueness apart; None where it has a validator that
    must be called as DRF would."""
    rules = Rules()
    nulls = surrogates = False

    for validator in field.validators:
        kind = type(validator)

        if kind is UniqueValidator:
            continue

        if kind not in PURE and not any(validator is f for f in PURE_FUNCTIONS):
            return None

        limit = getattr(validator, "limit_value", None)

        if callable(limit):
            return None

        if kind is django_validators.ProhibitNullCharactersValidator:
            nulls = True
        elif kind is drf_validators.ProhibitSurrogateCharactersValidator:
            surrogates = True
        elif not _bound(rules, kind, limit, is_text=is_text):
            rules.calls.append(validator)

    rules.is_text = nulls and surrogates

    # Were it otherwise, this would not be the field that we know.
    return rules if rules.is_text is is_text else None


def _bound(rules: Rules, kind: type, limit: Any, *, is_text: bool) -> bool:
    """Whether the validator's limit is now among the rules."""
    if is_text and type(limit) is int:
        if kind is django_validators.MaxLengthValidator:
            longest = rules.longest
            rules.longest = limit if longest is None else min(limit, longest)

            return True

        if kind is django_validators.MinLengthValidator:
            rules.shortest = max(limit, rules.shortest)

            return True

    if not is_text and type(limit) in NUMBERS and limit == limit:
        if kind is django_validators.MaxValueValidator:
            rules.highest = (
                limit if rules.highest is None else min(limit, rules.highest)
            )

            return True

        if kind is django_validators.MinValueValidator:
            rules.lowest = limit if rules.lowest is None else max(limit, rules.lowest)

            return True

    return False
