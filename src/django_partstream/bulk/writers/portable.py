"""Any database that Django knows, by the ORM's own statements."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, cast

from django.db import connections, models
from django.db.models.sql import InsertQuery

from django_partstream.bulk.matching import Finder, primary_keys
from django_partstream.bulk.prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_partstream.bulk.columns import Column

__all__ = ("MISSING", "PortableWriter")


class _Missing(enum.Enum):
    MISSING = enum.auto()


#: The primary key of a row that was not stored.
MISSING: Final = _Missing.MISSING


class _Record:
    """As much of a model instance as an INSERT asks for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ = values


class PortableWriter:
    """One INSERT for many rows, one UPDATE prepared once for all."""

    def __init__(self, model: type[models.Model], using: str) -> None:
        self.model = model
        self.using = using
        self.connection = connections[using]
        self.pk: Column = model._meta.pk
        self.table = self.quote(model._meta.db_table)

    def prepare(self) -> None:
        pass

    def insert(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        key: Sequence[Column],
    ) -> list[Any]:
        for index, column in enumerate(columns):
            if isinstance(column, models.JSONField):
                prepared(column, [row[index] for row in rows], self.connection)

        names = [column.attname for column in columns]
        records = [_Record(dict(zip(names, row, strict=True))) for row in rows]

        if self.pk in columns:
            self._insert(columns, records)

            return [getattr(record, self.pk.attname) for record in records]

        features = self.connection.features

        if features.can_return_rows_from_bulk_insert:
            return self._insert(columns, records)

        if key:
            self._insert(columns, records)

            return self._find(records, key)

        return [pk for record in records for pk in self._insert(columns, [record])]

    def _insert(
        self, columns: Sequence[Column], records: Sequence[_Record]
    ) -> list[Any]:
        """The primary keys, where the database returns them."""
        features = self.connection.features
        returns = self.pk not in columns and (
            features.can_return_rows_from_bulk_insert or len(records) == 1
        )
        size = self.connection.ops.bulk_batch_size(list(columns), list(records))
        step = max(1, size or len(records))
        pks: list[Any] = []

        for start in range(0, len(records), step):
            query = InsertQuery(self.model)
            # Raw: `pre_save` was called for all of them.
            chunk = cast("list[models.Model]", records[start : start + step])
            query.insert_values(columns, chunk, raw=True)
            compiler = query.get_compiler(using=self.using)
            pks += (pk for (pk,) in compiler.execute_sql([self.pk] if returns else []))

        return pks

    def _find(self, records: Sequence[_Record], key: Sequence[Column]) -> list[Any]:
        queryset = self.model._base_manager.using(self.using)
        keys = [tuple(getattr(r, column.attname) for column in key) for r in records]
        found = Finder(queryset, tuple(key), primary_keys).find(keys).rows

        return [found[key][0] for key in keys]

    def update(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, Sequence[Any]]]
    ) -> None:
        if any(hasattr(column, "get_placeholder") for column in columns):
            self._update_each(columns, rows)

            return

        values = self.prepared_columns(
            [*columns, self.pk], [(*row, pk) for pk, row in rows]
        )

        with self.connection.cursor() as cursor:
            cursor.executemany(
                self.update_sql(columns), list(zip(*values, strict=True))
            )

    def update_sql(self, columns: Sequence[Column]) -> str:
        """For the columns' values and the primary key of one row."""
        assignments = ", ".join(f"{self.quote(c.column)} = %s" for c in columns)

        return (
            f"UPDATE {self.table} SET {assignments} "
            f"WHERE {self.quote(self.pk.column)} = %s"
        )

    def _update_each(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, Sequence[Any]]]
    ) -> None:
        """Columns whose SQL depends on the value: the ORM writes it."""
        names = [column.attname for column in columns]
        manager = self.model._base_manager.using(self.using)

        for pk, row in rows:
            manager.filter(pk=pk).update(**dict(zip(names, row, strict=True)))

    def insert_columns(
        self,
        columns: Sequence[Column],
        cells: Sequence[Sequence[Any]],
        key: Sequence[Column],
        *,
        wants_pks: bool,
    ) -> list[Any]:
        return self.insert(columns, [*zip(*cells, strict=True)], key)

    def made_ready(self, column: Column, cells: Sequence[Any]) -> Sequence[Any]:
        return cells

    def update_columns(
        self,
        columns: Sequence[Column],
        pks: Sequence[Any],
        cells: Sequence[Sequence[Any]],
    ) -> None:
        self.update(columns, [*zip(pks, zip(*cells, strict=True), strict=True)])

    def prepared_columns(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        *,
        in_array: bool = False,
    ) -> list[list[Any]]:
        """Rows turned into whole columns of what the driver wants."""
        cells = zip(*rows, strict=True) if rows else [()] * len(columns)

        return self.prepared_cells(columns, [*cells], in_array=in_array)

    def prepared_cells(
        self,
        columns: Sequence[Column],
        cells: Sequence[Sequence[Any]],
        *,
        in_array: bool = False,
    ) -> list[list[Any]]:
        """Whole columns of what the driver wants."""
        return [
            prepared(column, values, self.connection, in_array=in_array)
            for column, values in zip(columns, cells, strict=True)
        ]

    def converted(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        """Rows of these columns, as Python has them."""
        compiler = InsertQuery(self.model).get_compiler(using=self.using)
        expressions = [column.get_col(self.model._meta.db_table) for column in columns]
        converters = compiler.get_converters(expressions)

        if not converters:
            return rows

        return list(compiler.apply_converters(rows, converters))

    def quote(self, name: str | None) -> str:
        """For a statement with parameters; a column with a table has a name."""
        assert name is not None

        return self.connection.ops.quote_name(name).replace("%", "%%")
