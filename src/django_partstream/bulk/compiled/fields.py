"""Which fields have a reading: the stock ones, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import fields, relations

from . import moments, numbers, others, texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from .reading import Reading

__all__ = ("is_stock", "reading_of", "related_kind", "stock_kind")

READINGS: dict[type, Callable[[Any], Reading | None]] = {
    fields.BigIntegerField: numbers.integer,
    fields.BooleanField: numbers.boolean,
    fields.CharField: texts.text,
    fields.ChoiceField: texts.choice,
    fields.DateField: moments.date,
    fields.DateTimeField: moments.moment,
    fields.DecimalField: numbers.decimal_number,
    fields.DictField: others.composite,
    fields.DurationField: moments.duration,
    fields.EmailField: texts.text,
    fields.FloatField: numbers.floating,
    fields.HStoreField: others.composite,
    fields.IPAddressField: others.address,
    fields.IntegerField: numbers.integer,
    fields.JSONField: others.json_value,
    fields.ListField: others.composite,
    fields.MultipleChoiceField: others.many_choices,
    fields.RegexField: texts.text,
    fields.SlugField: texts.text,
    fields.TimeField: moments.time,
    fields.URLField: texts.text,
    fields.UUIDField: others.unique_id,
}
STOCK_MODULES = frozenset({fields.__name__, relations.__name__})
# All that a field's verdict goes through.
METHODS = (
    "_lower_if_str",
    "default_timezone",
    "enforce_timezone",
    "get_default",
    "get_queryset",
    "get_value",
    "quantize",
    "run_child_validation",
    "run_validation",
    "run_validators",
    "to_internal_value",
    "validate_empty_values",
    "validate_precision",
)
#: What a related field's class may have of its own without another verdict on a value,
#: as long as it looks the value up.
HARMLESS = frozenset(
    {
        "__annotations__",
        "__doc__",
        "__firstlineno__",
        "__init__",
        "__module__",
        "__orig_bases__",
        "__parameters__",
        "__qualname__",
        "__static_attributes__",
        "default_error_messages",
        "display_value",
        "get_queryset",
        "lookup_field",
        "queryset",
        "to_representation",
        "use_pk_only_optimization",
        "view_name",
    }
)


def reading_of(field: Any) -> Reading | None:
    """None where the field itself must be called for every row."""
    make = READINGS.get(stock_kind(type(field)) or object)

    if make is None or not is_stock(field):
        return None

    return make(field)


def stock_kind(kind: type) -> type | None:
    """The stock class that this is; adrf's have but coroutines in addition."""
    for owner in kind.__mro__:
        if owner.__module__ in STOCK_MODULES:
            return owner

        if owner.__module__ != "adrf.fields":
            return None

    return None


def related_kind(kind: type) -> type | None:
    """The stock class of a related field, whatever its queryset."""
    for owner in kind.__mro__:
        if owner.__module__ == relations.__name__:
            return owner

        if not vars(owner).keys() <= HARMLESS and owner.__module__ != "adrf.relations":
            return None

    return None


def is_stock(field: Any) -> bool:
    """Whether all methods are those of a stock class, and none is replaced; related
    fields may have a queryset of their own."""
    kind = type(field)
    names: tuple[str, ...] = METHODS

    if stock_kind(kind) is None:
        if related_kind(kind) is None:
            return False

        names = tuple(name for name in METHODS if name != "get_queryset")

    return not any(name in vars(field) for name in names) and all(
        getattr(kind, name).__module__ in STOCK_MODULES
        for name in names
        if hasattr(kind, name)
    )
