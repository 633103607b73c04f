"""Values that were validated before.

Of the fields that are listed here, what one makes of a text or an integer depends on
nothing but the field. Columns repeat themselves, so most cells need no second look.
Only what was accepted is kept: errors are always made anew, by DRF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core import validators as django_validators
from rest_framework import fields
from rest_framework import validators as drf_validators
from rest_framework.fields import empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.serializers import Serializer

__all__ = ("Memo",)

#: By exact type: a subclass may look at anything. Their values cannot be changed.
FIELDS = frozenset(
    {
        fields.BooleanField,
        fields.CharField,
        fields.ChoiceField,
        fields.DateField,
        fields.DateTimeField,
        fields.DecimalField,
        fields.DurationField,
        fields.EmailField,
        fields.FloatField,
        fields.IntegerField,
        fields.RegexField,
        fields.SlugField,
        fields.TimeField,
        fields.URLField,
        fields.UUIDField,
    }
)
VALIDATORS = frozenset(
    {
        django_validators.EmailValidator,
        django_validators.MaxLengthValidator,
        django_validators.MaxValueValidator,
        django_validators.MinLengthValidator,
        django_validators.MinValueValidator,
        django_validators.ProhibitNullCharactersValidator,
        django_validators.RegexValidator,
        django_validators.URLValidator,
        drf_validators.ProhibitSurrogateCharactersValidator,
    }
)
#: Texts longer than this are seldom met twice.
MAX_LENGTH = 64
#: Values of one field.
MAX_VALUES = 10_000


class Memo:
    """Remembers, for serializers of one class, what their fields accepted.

    Good for as long as language and time zone stay the same.
    """

    def __init__(self) -> None:
        self._values: dict[str, dict[str | int, Any]] = {}

    def attach(self, serializer: Serializer[Any]) -> None:
        """Let the serializer's fields look here first."""
        for name, field in serializer.fields.items():
            if not field.read_only and _depends_on_the_value_alone(field):
                values = self._values.setdefault(name, {})
                stock: Any = field.run_validation
                vars(field)["run_validation"] = _remembering(stock, values)


def _depends_on_the_value_alone(field: Any) -> bool:
    return type(field) in FIELDS and all(
        type(validator) in VALIDATORS
        and not callable(getattr(validator, "limit_value", None))
        for validator in field.validators
    )


def _remembering(
    stock: Callable[[Any], Any], values: dict[str | int, Any]
) -> Callable[[Any], Any]:
    def run_validation(data: Any = empty) -> Any:
        kind = type(data)

        # By exact type: True and 1.0 are equal to 1, and not the same to a field.
        if kind is not str and kind is not int:
            return stock(data)

        if data in values:
            return values[data]

        value = stock(data)

        if len(values) < MAX_VALUES and (kind is int or len(data) <= MAX_LENGTH):
            values[data] = value

        return value

    return run_validation
