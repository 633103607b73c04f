"""The related fields of a serializer: what they look up, and by what."""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import uuid
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty
from rest_framework.relations import (
    HyperlinkedRelatedField,
    ManyRelatedField,
    PrimaryKeyRelatedField,
    RelatedField,
    SlugRelatedField,
)

from .columnar import members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rest_framework.serializers import Serializer

__all__ = ("SCALARS", "UNREADABLE", "Relating", "relating_fields")

# What a related field hands to its look-up, and a column can be asked about.
SCALARS = (str, int, float, uuid.UUID)
# No key can be made of the value: what is wrong with it, DRF says.
UNREADABLE = (
    ArithmeticError,
    DjangoValidationError,
    LookupError,
    TypeError,
    ValidationError,
    ValueError,
)
#: What differs from row to row.
OF_THE_ROW = ("_validated_data", "initial_data", "instance", "partial")
CONTEXT = frozenset({"context", "_context"})


@dataclasses.dataclass(slots=True, kw_only=True)
class Relating:
    """A field that looks objects up."""

    #: The serializer's field.
    field: Any
    #: What looks up: the field itself, or the child of one for many.
    relation: Any
    #: The keyword of its one look-up.
    lookup: str
    #: Addresses, and what they say is to be looked up.
    _addresses: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.field.field_name)

    @property
    def is_many(self) -> bool:
        return self.relation is not self.field

    @property
    def has_own_queryset(self) -> bool:
        """Whether its queryset is the one it was made with, the same for every row."""
        return type(self.relation).get_queryset is RelatedField.get_queryset

    @property
    def is_address(self) -> bool:
        return isinstance(self.relation, HyperlinkedRelatedField)

    def given(
        self, rows: Sequence[Any], cells: Sequence[Any] | None = None
    ) -> Iterator[Any]:
        """What the rows hold, as it is looked up; `cells` are what they have for this
        field, if that is known."""
        for _, value in self._plain(rows, cells):
            key = self.key(value)

            if key is not empty:
                yield key

    def key(self, value: Any) -> Any:
        """What is looked up for a value; `empty` where that cannot be told."""
        if value == "":
            return empty

        if self.is_address:
            if value not in self._addresses:
                self._addresses[value] = self._of_address(value)

            return self._addresses[value]

        pk_field = getattr(self.relation, "pk_field", None)

        if pk_field is None:
            return value

        try:
            return pk_field.to_internal_value(value)
        except UNREADABLE:
            return empty

    def queryset(self) -> tuple[Any, bool]:
        """The relation's queryset, and whether it is the same for every row."""
        get_queryset = type(self.relation).get_queryset

        if self.has_own_queryset:
            return get_queryset(self.relation), True

        with _witnessed(self.field.parent) as read:
            queryset = get_queryset(self.relation)

        return queryset, not read and not _leaves_traces(self.field.parent)

    def _plain(
        self, rows: Sequence[Any], cells: Sequence[Any] | None
    ) -> set[tuple[type, Any]]:
        if cells is None:
            cells = members(rows, self.name)

        if self.is_many:
            cells = [item for cell in cells if type(cell) is list for item in cell]

        kinds = {*map(type, cells)}

        if len(kinds) == 1 and kinds <= {*SCALARS}:
            (kind,) = kinds

            return {(kind, cell) for cell in {*cells}}

        # By type: True is equal to 1, and no key.
        return {(kind, cell) for cell in cells if (kind := type(cell)) in SCALARS}

    def _of_address(self, address: Any) -> Any:
        """By the field's own way to read it."""
        relation = self.relation
        found: list[Any] = []

        def get_object(_: str, __: Any, kwargs: dict[str, Any]) -> None:
            found.append(kwargs[relation.lookup_url_kwarg])

        relation.get_object = get_object

        try:
            relation.to_internal_value(address)
        except UNREADABLE:
            return empty
        finally:
            del relation.get_object

        return found[0]


def relating_fields(serializer: Serializer[Any]) -> Iterator[Relating]:
    """The fields of a serializer whose look-ups can be made for many rows."""
    for field in serializer.fields.values():
        if field.read_only:
            continue

        relation = field

        if isinstance(field, ManyRelatedField):
            relation = field.child_relation

        lookup = _lookup(relation)

        if lookup:
            yield Relating(field=field, relation=relation, lookup=lookup)


def _lookup(relation: Any) -> str:
    """The keyword of the one look-up, where it is of a stock kind."""
    if isinstance(relation, PrimaryKeyRelatedField):
        return "pk"

    if isinstance(relation, SlugRelatedField):
        return str(relation.slug_field)

    if (
        isinstance(relation, HyperlinkedRelatedField)
        and type(relation).get_object is HyperlinkedRelatedField.get_object
    ):
        return str(relation.lookup_field)

    return ""


@contextlib.contextmanager
def _witnessed(serializer: Any) -> Iterator[set[str]]:
    """What is read meanwhile of the row that the serializer is at."""
    read: set[str] = set()
    kind = type(serializer)

    def witness(name: str) -> property:
        def get(self: Any) -> Any:
            read.add(name)

            try:
                return vars(self)[name]
            except KeyError:
                raise AttributeError(name) from None

        def put(self: Any, value: Any) -> None:
            vars(self)[name] = value

        return property(get, put)

    witnesses = {name: witness(name) for name in OF_THE_ROW}
    serializer.__class__ = type(kind.__name__, (kind,), witnesses)

    try:
        yield read
    finally:
        serializer.__class__ = kind


def _leaves_traces(serializer: Any) -> bool:
    """Whether the serializer's own hooks may tell its fields of the row they saw."""
    hooks = [serializer.validate]
    hooks += (
        hook
        for name in serializer.fields
        if (hook := getattr(serializer, f"validate_{name}", None)) is not None
    )

    return any(map(_tells, hooks))


def _tells(hook: Callable[..., Any]) -> bool:
    code = getattr(getattr(hook, "__func__", hook), "__code__", None)

    return code is None or any(
        step.opname == "STORE_ATTR" or step.argval in CONTEXT
        for step in dis.get_instructions(code)
        if isinstance(step.argval, str)
    )
