"""Stored rows as a serializer shows them, column by column.

What is shown is what `serializer.data` would show. Where that depends on more than the
columns of the rows, the serializer itself is to be asked.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import models
from rest_framework import ISO_8601, fields, relations
from rest_framework.serializers import ListSerializer, Serializer
from rest_framework.settings import api_settings

from . import columns as cols
from .compiled.fields import stock_kind
from .compiled.unique import identities
from .matching import Finder, can_lock_values
from .selecting import fetched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from django.db.models import QuerySet

    from .columns import Column
    from .matching import Key

    Show = Callable[[Sequence[Any]], Sequence[Any]]

__all__ = ("PlainRows", "Shown")

#: What JSON has one form for.
PLAIN = frozenset({NoneType, bool, int, str})

#: All that a field goes through when it shows a value.
METHODS = ("enforce_timezone", "get_attribute", "quantize", "to_representation")
#: Fields that show nothing but the value of their source.
KNOWN = (
    fields.BooleanField,
    fields.CharField,
    fields.ChoiceField,
    fields.DateField,
    fields.DateTimeField,
    fields.DecimalField,
    fields.DurationField,
    fields.FloatField,
    fields.IntegerField,
    fields.TimeField,
    fields.UUIDField,
    relations.PrimaryKeyRelatedField,
)


class Shown:
    """How a serializer, made with `many=True`, shows stored rows."""

    def __init__(self, serializer: Any) -> None:
        self._plan = _plan(serializer)
        #: The columns that it shows; none where it has to be asked itself.
        self.columns = [column.attname for _, column, _ in self._plan or ()]

    def of_stored(
        self, worlds: Iterable[QuerySet[Any]], pks: Sequence[Any]
    ) -> PlainRows | None:
        """What it shows of the rows with these keys, in this order, each read from the
        first of the worlds that has it; None where it has to be asked itself."""
        if self._plan is None or not all(map(can_lock_values, worlds)):
            return None

        found = _found(worlds, [column for _, column, _ in self._plan], pks)

        if len(found) < len({*pks}):
            return None

        # Behind the columns, each row has its key.
        rows = [*zip(*map(found.__getitem__, pks), strict=True)]

        return self._rows(rows[: len(self._plan)] if pks else [])

    def of_known(self, stored: Mapping[str, Sequence[Any]]) -> PlainRows | None:
        """The same of rows of which these columns are known; None where not all that
        it shows are."""
        if not self.columns or not stored.keys() >= {*self.columns}:
            return None

        return self._rows([stored[name] for name in self.columns])

    def _rows(self, columns: Sequence[Sequence[Any]]) -> PlainRows:
        assert self._plan is not None  # for mypy: it was asked
        names = [name for name, _, _ in self._plan]
        pairs = zip(self._plan, columns, strict=False)
        cells = [show(part) for (_, _, show), part in pairs]
        rows = PlainRows(
            dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True)
        )
        rows.is_plain = all({*map(type, part)} <= PLAIN for part in cells)

        return rows


class PlainRows(list[dict[str, Any]]):
    """Rows as a serializer shows them."""

    #: Whether they have nothing but texts, integers, booleans and nulls.
    is_plain = False


def _found(
    worlds: Iterable[QuerySet[Any]], columns: Sequence[Column], pks: Sequence[Any]
) -> dict[Any, Sequence[Any]]:
    found: dict[Any, Sequence[Any]] = {}

    for world in worlds:
        left = {(pk,) for pk in pks if pk not in found} if found else {*zip(pks)}

        if left:
            pk = world.model._meta.pk
            rows = Finder(world, (pk,), _reader(columns)).find(left).rows
            found |= {key: values for (key,), (values, *_) in rows.items()}

    return found


def _reader(columns: Sequence[Column]) -> Any:
    def read(
        queryset: QuerySet[Any], key: tuple[Column, ...]
    ) -> Iterable[tuple[Key, Sequence[Any]]]:
        names = [column.attname for column in (*columns, *key)]
        rows = fetched(queryset.order_by().values_list(*names), [*columns, *key])

        if not rows:
            return ()

        keys = identities(key[0], [row[-1] for row in rows])

        return zip(zip(keys, strict=True), rows, strict=True)

    return read


def _plan(serializer: Any) -> list[tuple[str, Column, Show]] | None:
    """Each field's name, its column, and what it makes of whole columns."""
    if not _is_stock(serializer):
        return None

    plan: list[tuple[str, Column, Show]] = []
    by_source = cols.columns_by_source(serializer.child.Meta.model)

    for field in serializer.child._readable_fields:
        column = by_source.get(field.source)
        show = None if column is None else _show(field, column)

        if column is None or show is None:
            return None

        plan.append((field.field_name, column, show))

    return plan or None


def _is_stock(serializer: Any) -> bool:
    child = serializer.child
    stock = ListSerializer, Serializer

    return (
        all(
            getattr(type(one), name) is getattr(kind, name)
            for one, kind in zip((serializer, child), stock, strict=True)
            for name in ("to_representation",)
        )
        and type(serializer).data is ListSerializer.data
    )


def _show(field: Any, column: Column) -> Show | None:
    kind = stock_kind(type(field))

    if kind is None or not issubclass(kind, KNOWN) or not _is_untouched(field):
        return None

    if isinstance(field, relations.PrimaryKeyRelatedField):
        is_key = field.source == column.name and cols.holds_primary_keys(column)
        target = cols.stored_column(column)
        plain = is_key and column.is_relation and field.pk_field is None

        return _same if plain and not hasattr(target, "from_db_value") else None

    if column.is_relation or isinstance(column, models.FileField):
        return None

    return _by_value(field, _whole(field))


def _is_untouched(field: Any) -> bool:
    kind = type(field)

    return not any(name in vars(field) for name in METHODS) and all(
        getattr(kind, name).__module__.startswith("rest_framework.")
        for name in METHODS
        if hasattr(kind, name)
    )


def _same(cells: Sequence[Any]) -> Sequence[Any]:
    return cells


def _by_value(field: Any, whole: tuple[type, Show] | None) -> Show:
    """`whole` shows columns of one type; all others are shown by the field."""

    def show(cells: Sequence[Any]) -> Sequence[Any]:
        kinds = {*map(type, cells)}

        if whole is not None and kinds == {whole[0]}:
            known = whole[1](cells)

            if known:
                return known

        if kinds <= {NoneType, str} or kinds <= {NoneType, int}:
            made = {
                cell: None if cell is None else field.to_representation(cell)
                for cell in {*cells}
            }

            return [*map(made.__getitem__, cells)]

        return [
            None if cell is None else field.to_representation(cell) for cell in cells
        ]

    return show


def _whole(field: Any) -> tuple[type, Show] | None:
    """What the field makes of a column of one type, where that is known; an empty list
    where it is not known of these values."""
    kind = stock_kind(type(field)) or object

    if issubclass(kind, fields.CharField):
        return str, _same

    if issubclass(kind, fields.IntegerField) and not _shows_texts(field):
        return int, _same

    if issubclass(kind, fields.BooleanField):
        return bool, _same

    if issubclass(kind, fields.FloatField):
        return float, _same

    if issubclass(kind, fields.UUIDField) and field.uuid_format == "hex_verbose":
        return UUID, lambda cells: [*map(str, cells)]

    if issubclass(kind, fields.DecimalField):
        return Decimal, lambda cells: _decimals(field, cells)

    if issubclass(kind, fields.DateTimeField):
        return datetime.datetime, lambda cells: _moments(field, cells)

    if issubclass(kind, fields.DateField) and _is_iso(field, "DATE_FORMAT"):
        return datetime.date, lambda cells: [cell.isoformat() for cell in cells]

    return None


def _shows_texts(field: Any) -> bool:
    setting = getattr(api_settings, "COERCE_BIGINT_TO_STRING", False)

    return isinstance(field, getattr(fields, "BigIntegerField", ())) and bool(
        getattr(field, "coerce_to_string", setting)
    )


def _is_iso(field: Any, setting: str) -> bool:
    form = getattr(field, "format", getattr(api_settings, setting))

    return isinstance(form, str) and form.lower() == ISO_8601


def _decimals(field: Any, cells: Sequence[Any]) -> Sequence[Any]:
    """Those that have just the digits that the field shows."""
    places = field.decimal_places
    coerced = getattr(field, "coerce_to_string", api_settings.COERCE_DECIMAL_TO_STRING)

    if (
        not coerced
        or type(places) is not int
        or not 1 <= places <= 6
        or field.localize
        or getattr(field, "normalize_output", False)
    ):
        return []

    texts = [*map(str, cells)]
    digits = field.max_digits or 0
    is_known = all(
        text[-places - 1 : -places] == "."
        and len(text) <= digits + 1
        and "E" not in text
        for text in texts
    )

    return texts if is_known else []


def _moments(field: Any, cells: Sequence[Any]) -> Sequence[Any]:
    zone = field.timezone if hasattr(field, "timezone") else field.default_timezone()

    if (
        not (type(zone) is ZoneInfo or zone is datetime.UTC)
        or not _is_iso(field, "DATETIME_FORMAT")
        or None in {cell.tzinfo for cell in cells}
    ):
        return []

    try:
        texts = [cell.astimezone(zone).isoformat() for cell in cells]
    except OverflowError:
        return []

    return [f"{text[:-6]}Z" if text[-6:] == "+00:00" else text for text in texts]
