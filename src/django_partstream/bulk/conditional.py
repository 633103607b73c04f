"""Uniqueness validators whose answer depends on more than who has the key.

Where nobody has it, nothing else matters: that is asked for the whole batch. Where
somebody has, the stock validator tells.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.db import models
from rest_framework.exceptions import ValidationError
from rest_framework.validators import UniqueForDateValidator, UniqueTogetherValidator

from . import columns as cols
from .questions import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.serializers import Serializer

    from .questions import Check

__all__ = ("Conditional", "ForDate")


class Conditional(UniqueTogetherValidator):
    """A stock validator with a condition; `check` asks the rows that fulfil it."""

    def __init__(self, stock: Any, check: Check) -> None:
        vars(self).update(vars(stock))
        self.check = check
        self._stock = stock
        self._unconditional = copy.copy(stock)
        self._unconditional.condition = None
        self._unconditional.queryset = Asked(check, check.queryset)

    def __call__(self, attrs: Any, serializer: Any) -> None:
        try:
            self._unconditional(attrs, serializer)
        except ValidationError:
            self._stock(attrs, serializer)


class ForDate:
    """A stock validator of values that are unique for a day, a month or a year; `check`
    asks who has the value, on the same day where a day is all that the column holds."""

    requires_context = True

    def __init__(self, stock: Any, check: Check, names: tuple[str, ...]) -> None:
        self.check = check
        #: The fields of the key, and those that a row must have.
        self.names = names
        self.needed = (stock.field, stock.date_field)
        self._stock = stock

    @classmethod
    def columns(cls, serializer: Serializer[Any], stock: Any) -> tuple[str, ...]:
        """The columns of the key; none where only the stock validator can tell."""
        names = (stock.field, stock.date_field)
        fields: Any = serializer.fields
        model: Any = serializer.Meta.model  # type: ignore[attr-defined]

        if any(name not in fields or fields[name].source != name for name in names):
            return ()

        date = cols.column_of(model, stock.date_field)
        is_day = type(date) is models.DateField and (
            type(stock) is UniqueForDateValidator
        )

        return names if is_day else names[:1]

    def __call__(self, attrs: Mapping[str, Any], serializer: Any) -> None:
        if any(attrs.get(name) is None for name in self.needed):
            self._stock(attrs, serializer)

            return

        values = [attrs[name] for name in self.names]
        key = tuple(map(cols.identity, self.check.ordered, values))
        instance = serializer.instance

        if self.check.ask(key, None if instance is None else instance.pk) is not False:
            self._stock(attrs, serializer)
