"""What is known of a serializer before it sees a row."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from rest_framework import relations
from rest_framework.fields import (
    CreateOnlyDefault,
    CurrentUserDefault,
    HiddenField,
    empty,
)
from rest_framework.serializers import Serializer

from .fields import is_stock, reading_of, related_kind, stock_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from .reading import Reading

__all__ = ("Blank", "FieldShape", "Shape", "shape_of")

RELATIONS = frozenset(
    {
        relations.HyperlinkedRelatedField,
        relations.ManyRelatedField,
        relations.PrimaryKeyRelatedField,
        relations.SlugRelatedField,
    }
)
# All that the verdict on a row goes through, fields and hooks apart.
METHODS = (
    "_read_only_defaults",
    "_writable_fields",
    "fields",
    "run_validation",
    "run_validators",
    "set_value",
    "to_internal_value",
    "validate_empty_values",
)
STOCK_MODULE = Serializer.__module__


class Blank(enum.Enum):
    """What becomes of a row that has no such member."""

    #: Neither a value nor an error.
    SKIPPED = enum.auto()
    #: The default, the same for every row.
    CONSTANT = enum.auto()
    #: Only the stock field can tell.
    ASKED = enum.auto()


@dataclasses.dataclass(slots=True, kw_only=True)
class FieldShape:
    """A field that rows may write to."""

    field: Any
    #: None where the field itself must be called for every row. A relation has one
    #: only while the objects of a batch are known.
    reading: Reading | None
    is_relation: bool
    is_hidden: bool
    #: The serializer's `validate_<name>`.
    hook: Callable[[Any], Any] | None
    blank: Blank
    default: Any = None

    @property
    def name(self) -> str:
        return str(self.field.field_name)

    @property
    def source(self) -> str:
        return str(self.field.source)


@dataclasses.dataclass(slots=True, kw_only=True)
class Shape:
    """A serializer whose every step is known, but for what its fields and hooks do."""

    serializer: Any
    is_partial: bool
    fields: list[FieldShape]
    #: The serializer's own `validate`.
    hook: Callable[[Any], Any] | None

    @property
    def is_flat(self) -> bool:
        """Whether each field writes one member of the row's values."""
        return all(len(shape.field.source_attrs) == 1 for shape in self.fields)

    @property
    def has_hooks(self) -> bool:
        """Whether somebody else's code is to be called for every row."""
        return self.hook is not None or any(f.hook is not None for f in self.fields)

    @property
    def has_read_only_defaults(self) -> bool:
        """Whether validators of rows see more than what the rows say."""
        fields: Any = self.serializer.fields.values()

        return any(f.read_only and f.default is not empty for f in fields)

    def reads_like(self, other: Shape) -> bool:
        """Whether a column read for one of them is read for the other."""
        return len(self.fields) == len(other.fields) and all(
            map(_are_alike, self.fields, other.fields)
        )


def shape_of(serializer: Any) -> Shape | None:
    """None where the serializer itself must be called for every row. To be asked
    before anything is attached to its fields."""
    if not _is_stock(serializer):
        return None

    is_partial = bool(getattr(serializer, "partial", False))
    validate = serializer.validate
    hook = None if _is_own(validate, STOCK_MODULE) else validate

    return Shape(
        serializer=serializer,
        is_partial=is_partial,
        fields=[
            _field(serializer, field, is_partial=is_partial)
            for field in serializer._writable_fields
        ],
        hook=hook,
    )


def _is_stock(serializer: Any) -> bool:
    kind = type(serializer)

    return (
        isinstance(serializer, Serializer)
        and getattr(serializer, "parent", None) is None
        # Not `fields`: that is a cache.
        and not any(name in vars(serializer) for name in METHODS if name != "fields")
        and all(_is_of_stock(kind, name) for name in METHODS)
    )


def _is_of_stock(kind: type, name: str) -> bool:
    owner = next((c for c in kind.__mro__ if name in vars(c)), object)

    return owner.__module__ in (STOCK_MODULE, "rest_framework.fields")


def _is_own(method: Any, module: str) -> bool:
    function = getattr(method, "__func__", None)

    return getattr(function, "__module__", None) == module


def _field(serializer: Any, field: Any, *, is_partial: bool) -> FieldShape:
    is_relation = related_kind(type(field)) in RELATIONS and is_stock(field)
    is_hidden = stock_kind(type(field)) is HiddenField and is_stock(field)
    blank, default = _blank(field, is_partial=is_partial)

    return FieldShape(
        field=field,
        reading=reading_of(field),
        is_relation=is_relation,
        is_hidden=is_hidden,
        hook=getattr(serializer, f"validate_{field.field_name}", None),
        blank=blank,
        default=default,
    )


def _blank(field: Any, *, is_partial: bool) -> tuple[Blank, Any]:
    if not is_stock(field):
        return Blank.ASKED, None

    if is_partial:
        return Blank.SKIPPED, None

    if field.required:
        return Blank.ASKED, None

    default = field.default

    if default is empty:
        return Blank.SKIPPED, None

    if type(default) is CurrentUserDefault:
        return _current_user(field)

    if type(default) is CreateOnlyDefault or callable(default):
        return Blank.ASKED, None

    return Blank.CONSTANT, default


def _current_user(field: Any) -> tuple[Blank, Any]:
    try:
        return Blank.CONSTANT, field.default(field)
    except (AttributeError, KeyError):
        # Without a request, DRF fails; but only if there is a row.
        return Blank.ASKED, None


def _are_alike(one: FieldShape, other: FieldShape) -> bool:
    a, b = one.field, other.field

    return (
        type(a) is type(b)
        and one.name == other.name
        and (one.reading is None) == (other.reading is None)
        and bool(a._args == b._args and a._kwargs == b._kwargs)
    )
