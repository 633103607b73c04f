"""Related objects of a batch: one query for each relation field, instead of one for
each row."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models import Manager, QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty
from rest_framework.relations import PrimaryKeyRelatedField, SlugRelatedField
from rest_framework.validators import UniqueValidator

from . import columns as cols
from .compiled.fields import stock_kind
from .compiled.reading import UNSURE, Reading
from .matching import Finder, instances

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columns import Column
    from .watch import TableWatch

__all__ = ("Relations",)

# What a related field hands to its look-up, and a column can be asked about.
SCALARS = (str, int, float, uuid.UUID)
# No key can be made of the value: what is wrong with it, DRF says.
UNREADABLE = (
    ArithmeticError,
    DjangoValidationError,
    TypeError,
    ValidationError,
    ValueError,
)


class Relations:
    """What the related fields of a batch refer to.

    Fields that were `attach`ed find it here. A value that is no plain key, a field
    that looks elsewhere, or a queryset that differs from row to row falls through to
    the stock query, so that errors are DRF's own.
    """

    def __init__(self, watch: TableWatch) -> None:
        self._watch = watch
        self._loaded: dict[Any, _Related] = {}

    def attach(self, serializer: Serializer[Any]) -> None:
        """Let the serializer's related fields ask here first."""
        for field in _related_fields(serializer):
            self._attach(field)

    def _attach(self, field: Any) -> None:
        stock = field.get_queryset

        # Asked for every row, as by DRF: an override may look at the row.
        def get_queryset() -> Any:
            if _has_own_queryset(field):
                related = self._loaded.get(field.field_name)

                return stock() if related is None else _Answers(stock, related)

            queryset = stock()
            related = self._loaded.get(_fingerprint(field, queryset))

            return queryset if related is None else _Answers(lambda: queryset, related)

        field.get_queryset = get_queryset

    def load(self, serializer: Serializer[Any], rows: Sequence[Any]) -> None:
        """Look up what these rows refer to: one query a field."""
        self._loaded = {}

        for field in _related_fields(serializer):
            self._load(field, rows)

    def reading(self, field: Any) -> Reading | None:
        """How to read a stock field's column, now that all is loaded."""
        is_compiled = (
            stock_kind(type(field)) in (PrimaryKeyRelatedField, SlugRelatedField)
            and getattr(field, "pk_field", None) is None
            and _has_own_queryset(field)
            and all(type(v) is UniqueValidator for v in field.validators)
        )
        related = self._loaded.get(field.field_name)

        if related is None or not is_compiled:
            return None

        null = None if field.allow_null else UNSURE

        def of_key(value: Any) -> Any:
            return related.found(value)

        def of_text(value: str) -> Any:
            return related.found(value) if value else null

        return Reading(one={float: of_key, int: of_key, str: of_text}, null=null)

    def _load(self, field: Any, rows: Sequence[Any]) -> None:
        queryset = type(field).get_queryset(field)

        if isinstance(queryset, Manager):
            queryset = queryset.all()

        lookup = _lookup(field)
        fingerprint = _fingerprint(field, queryset)

        if fingerprint is None or self._watch.is_written(queryset.model):
            return

        column = cols.column_of(queryset.model, lookup)

        if column is None or not cols.is_plain(column):
            return

        related = _Related(queryset, lookup, column)

        with self._watch.watching():
            related.load(_given(field, rows))

        # Its filter reads the table that is being written: what it lets through may
        # change from row to row.
        if not self._watch.hit:
            self._loaded[fingerprint] = related


class _Related:
    """The objects of one queryset that a batch refers to."""

    def __init__(self, queryset: QuerySet[Any], lookup: str, column: Column) -> None:
        self._queryset = queryset
        self._column = column
        self._to_python = cols.stored_column(column).to_python
        self.lookup = lookup
        self._objects: dict[Any, Model] = {}
        self._absent: set[Any] = set()

    def load(self, values: Iterator[Any]) -> None:
        keys = {(key,) for value in values if (key := self._key(value)) is not empty}
        found = Finder(self._queryset, (self._column,), instances).find(keys)
        self._absent = {key for (key,) in keys - found.rows.keys() - found.unknown}
        # Several for one key are DRF's to complain about.
        self._objects = {
            key: rows[0] for (key,), rows in found.rows.items() if len(rows) == 1
        }

    def answer(self, value: Any) -> Any:
        """The object; `empty` where only the database can tell. Raises
        DoesNotExist."""
        key = self._key(value)

        if key in self._absent:
            raise self._queryset.model.DoesNotExist

        return self._objects.get(key, empty)

    def found(self, value: Any) -> Any:
        """The object, or UNSURE."""
        return self._objects.get(self._key(value), UNSURE)

    def _key(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, SCALARS):
            return empty

        try:
            return self._to_python(value)
        except UNREADABLE:
            return empty


class _Answers:
    """Stands for a queryset: `get` is answered from the batch, all else by the real
    one."""

    def __init__(self, real: Any, related: _Related) -> None:
        self._real = real
        self._related = related

    def get(self, *args: Any, **kwargs: Any) -> Any:
        if not args and list(kwargs) == [self._related.lookup]:
            answer = self._related.answer(kwargs[self._related.lookup])

            if answer is not empty:
                return answer

        return self._real().get(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


def _related_fields(serializer: Serializer[Any]) -> Iterator[Any]:
    for field in serializer.fields.values():
        if not field.read_only and _lookup(field):
            yield field


def _lookup(field: Any) -> str:
    """The keyword of the field's one look-up, where it is of a stock kind."""
    if isinstance(field, PrimaryKeyRelatedField):
        return "pk"

    if isinstance(field, SlugRelatedField):
        return str(field.slug_field)

    return ""


def _has_own_queryset(field: Any) -> bool:
    """Whether its queryset is the one it was made with, the same for every row."""
    return type(field).get_queryset is PrimaryKeyRelatedField.get_queryset


def _fingerprint(field: Any, queryset: Any) -> Any:
    """Equal for querysets that give the same rows; None where that cannot be told."""
    if not isinstance(queryset, QuerySet):
        return None

    if _has_own_queryset(field):
        return field.field_name

    try:
        sql, params = queryset.query.sql_with_params()
    except EmptyResultSet:
        return None

    return field.field_name, queryset.db, sql, repr(params)


def _given(field: Any, rows: Sequence[Any]) -> Iterator[Any]:
    """What the rows hold for a related field, as it looks it up."""
    pk_field = getattr(field, "pk_field", None)

    name = field.field_name
    cells = [row.get(name) for row in rows if isinstance(row, dict)]
    # By type: True is equal to 1, and no key.
    plain = {(kind, cell) for cell in cells if (kind := type(cell)) in SCALARS}

    for _, value in plain:
        if value == "":
            continue

        if pk_field is not None:
            try:
                value = pk_field.to_internal_value(value)
            except UNREADABLE:
                continue

        yield value
