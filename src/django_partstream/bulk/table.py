"""A table, as what is written to it sees it. No SQL."""

from __future__ import annotations

import datetime
import decimal
import uuid
from operator import attrgetter, ne
from types import NoneType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from django.db import models

from . import columns as cols
from .compiled.reading import ABSENT, Absent
from .compiled.unique import identities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .columns import Column
    from .links import Links

__all__ = ("COMPARABLE_OR_MOMENT", "Table")

#: What a column holds as it is, by exact type.
PLAIN = frozenset(
    {
        bool,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        decimal.Decimal,
        float,
        int,
        str,
        type(None),
        uuid.UUID,
    }
)


#: Of these, values of one type that are equal in Python are the same to a column.
COMPARABLE = frozenset({bool, int, str, datetime.date, decimal.Decimal, uuid.UUID})


MOMENTS = frozenset({datetime.datetime, NoneType})
COMPARABLE_OR_MOMENT = COMPARABLE | MOMENTS


class Table:
    """What Django does to a row's values on their way into the table, without an
    instance of the model."""

    def __init__(self, model: type[models.Model], links: Links) -> None:
        self._model = model
        self._links = links
        self._by_source = cols.columns_by_source(model)
        #: What an INSERT may name.
        self.columns = [c for c in model._meta.concrete_fields if not c.generated]
        self._writable = frozenset(self.columns)
        self._scalars = {
            source: column.attname
            for source, column in self._by_source.items()
            if column in self._writable and not column.is_relation
        }
        #: By the names under which a record holds them.
        self.by_name = {column.attname: column for column in self.columns}
        self._auto_add = [c for c in self.columns if _is_auto(c, "auto_now_add")]
        self._auto = [c for c in self.columns if _is_auto(c, "auto_now")]
        self._set_by_saving = self._auto_add + self._auto
        self._pk = model._meta.pk.attname
        self._known_lacks: dict[tuple[str, ...], list[Column]] = {}

    def column(
        self, source: str, cells: Sequence[Any]
    ) -> tuple[str, Sequence[Any]] | None:
        """The name of the column and what it is to hold; None where not all are plain
        values of it. ABSENT stays as it is. Of a many-to-many relation, its name and
        the keys of each row's objects."""
        link = self._links.get(source)

        if link is not None:
            keys = [cell if cell is ABSENT else link.keys(cell) for cell in cells]

            return None if None in keys else (link.name, keys)

        kinds = {*map(type, cells)} - {Absent}

        if kinds <= PLAIN and source in self._scalars:
            return self._scalars[source], cells

        column = self._by_source.get(source)

        if (
            not isinstance(column, models.ForeignKey)
            or column not in self._writable
            or source != column.name
            or not all(
                kind is NoneType or issubclass(kind, models.Model) for kind in kinds
            )
        ):
            return None

        # Rows that refer to the same object share it.
        places = [*map(id, cells)]
        key = attrgetter(column.target_field.attname)
        held: dict[int, Any] = {}

        for place, cell in dict(zip(places, cells, strict=True)).items():
            is_object = cell is not None and cell is not ABSENT
            held[place] = key(cell) if is_object else cell

            if is_object and held[place] is None:
                return None

        return column.attname, [*map(held.__getitem__, places)]

    def record(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """The columns' names and values; None where not all are plain values of
        columns, as `Model(**values)` and `setattr` might still take them."""
        record: dict[str, Any] = {}

        for source, value in values.items():
            if type(value) in PLAIN and source in self._scalars:
                record[self._scalars[source]] = value

                continue

            link = self._links.get(source)

            if link is not None:
                record[link.name] = link.keys(value)

                if record[link.name] is None:
                    return None

                continue

            column = self._by_source.get(source)

            if (
                column is None
                or column not in self._writable
                or hasattr(value, "resolve_expression")
            ):
                return None

            is_object = isinstance(value, models.Model)
            wants_object = column.is_relation and source == column.name

            if is_object != wants_object and value is not None:
                return None

            record[column.attname] = cols.raw(column, value)

            if is_object and record[column.attname] is None:
                return None

        return record

    def changes(self, instance: models.Model, record: dict[str, Any]) -> set[str]:
        """The columns that an update with this would change."""
        changed = {
            name
            for name, value in record.items()
            if (stored := getattr(instance, name)) is not value
            and not (type(stored) is type(value) in COMPARABLE and stored == value)
            and cols.differs(self.by_name[name], stored, value)
        }

        return changed.union(column.attname for column in self._auto)

    def touch(self, instance: models.Model, record: dict[str, Any]) -> None:
        """Add what every update sets."""
        for column in self._auto:
            record[column.attname] = column.pre_save(instance, add=False)

    def attname(self, source: str) -> str | None:
        """The name of the column that a serializer writes to; None where it is none
        of this table."""
        column = self._by_source.get(source)

        return column.attname if column in self._writable else None

    def changed(
        self, name: str, stored: Sequence[Any], given: Sequence[Any]
    ) -> list[int]:
        """Which rows, by index, would be changed by writing this to the column."""
        column = self.by_name[name]
        kinds = {*map(type, stored), *map(type, given)}

        if kinds <= MOMENTS:
            stored, given = identities(column, stored), identities(column, given)

        if kinds <= MOMENTS or (
            len(kinds - {NoneType}) == 1 and kinds - {NoneType} <= COMPARABLE
        ):
            return [i for i, it in enumerate(map(ne, stored, given)) if it]

        return [
            index
            for index, (old, new) in enumerate(zip(stored, given, strict=True))
            if new is not ABSENT
            and old is not new
            and not (type(old) is type(new) in COMPARABLE and old == new)
            and cols.differs(column, old, new)
        ]

    def touched(self, count: int) -> dict[str, list[Any]]:
        """What every update sets, for so many rows."""
        instance = cast("models.Model", SimpleNamespace())

        return {
            column.attname: [column.pre_save(instance, add=False) for _ in range(count)]
            for column in self._auto
        }

    def completed(
        self, columns: Mapping[str, Sequence[Any]], count: int
    ) -> dict[str, Sequence[Any]] | None:
        """With what every new row has besides; None where rows differ in what is left
        to the database."""
        made: dict[str, Sequence[Any]] = {}
        new = cast("models.Model", SimpleNamespace())

        for column in self.columns:
            name = column.attname
            cells = columns.get(name, ())
            lacks = Absent in {*map(type, cells)} if cells else True
            is_pk = name == self._pk

            if column in self._set_by_saving:
                cells = [column.pre_save(new, add=True) for _ in range(count)]
            elif lacks:
                default = column.get_default()

                if hasattr(default, "resolve_expression"):
                    if any(cell is not ABSENT for cell in cells):
                        return None

                    continue

                if not cells:
                    cells = [default] * count

                    if column.has_default() and callable(column.default):
                        rest = (column.get_default() for _ in range(count - 1))
                        cells = [default, *rest]
                else:
                    cells = [column.get_default() if c is ABSENT else c for c in cells]

            if is_pk and None in cells:
                # The database makes them, or some of them.
                if any(cell is not None for cell in cells):
                    return None

                continue

            made[name] = cells

        return made

    def complete(self, record: dict[str, Any]) -> None:
        """Add what every new row has: defaults, dates of creation."""
        for column in self._lacking(tuple(record)):
            default = column.get_default()

            # A default of the database: the column is left out.
            if not hasattr(default, "resolve_expression"):
                record[column.attname] = default

        new = cast("models.Model", SimpleNamespace())

        for column in self._set_by_saving:
            record[column.attname] = column.pre_save(new, add=True)

        pk = self._pk

        # The database makes one.
        if record.get(pk, 0) is None:
            del record[pk]

    def _lacking(self, names: tuple[str, ...]) -> list[Column]:
        """The columns beside these. Few sets of names come with many rows each."""
        if names not in self._known_lacks:
            self._known_lacks[names] = [
                column for column in self.columns if column.attname not in names
            ]

        return self._known_lacks[names]

    def has_hidden_conflicts(
        self, known: set[frozenset[Column]], sources: Iterable[str]
    ) -> bool:
        """Whether rows that are written to these sources may meet in a constraint that
        is not among the known sets."""
        pk = self._model._meta.pk
        sets = {frozenset(columns) for columns in cols.unique_sets(self._model)}
        sets -= known

        if pk not in map(self._by_source.get, sources):
            sets.discard(frozenset({pk}))

        return bool(sets) or any(
            not isinstance(constraint, models.CheckConstraint)
            and (
                not isinstance(constraint, models.UniqueConstraint)
                or constraint.condition is not None
                or bool(constraint.expressions)
            )
            for constraint in self._model._meta.constraints
        )


def _is_auto(column: Column, attribute: str) -> bool:
    kinds = (models.DateField, models.TimeField)

    return isinstance(column, kinds) and bool(getattr(column, attribute))
