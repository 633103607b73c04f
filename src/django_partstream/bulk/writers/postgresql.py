"""PostgreSQL: a statement takes each column as one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream.bulk import columns as cols
from django_partstream.bulk.arrays import (
    ReadyColumn,
    array,
    binary_cursor,
    has_binary,
    values_of,
)
from django_partstream.bulk.compiled.reading import Absent

from .paired import PairingWriter
from .portable import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_partstream.bulk.columns import Column

__all__ = ("PostgreSQLWriter",)


class PostgreSQLWriter(PairingWriter):
    """INSERT … SELECT FROM unnest(…), UPDATE … FROM unnest(…)."""

    takes_arrays = True

    def prepare(self) -> None:
        # Django's foreign keys are deferred: a missing object would only show at
        # COMMIT, when no row can be named any more.
        with self.connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    def can_pair(self, columns: Sequence[Column]) -> bool:
        return all(map(self._has_array, columns))

    def insert_returning(
        self, columns: Sequence[Column], values: Sequence[list[Any]], returned: str
    ) -> list[Sequence[Any]]:
        with self._cursor() as cursor:
            cursor.execute(
                f"{self._insert_into(columns)} ON CONFLICT DO NOTHING "
                f"RETURNING {returned}",
                values,
            )

            return list(cursor.fetchall())

    def insert_columns(
        self,
        columns: Sequence[Column],
        cells: Sequence[Sequence[Any]],
        key: Sequence[Column],
        *,
        wants_pks: bool,
    ) -> list[Any]:
        if not columns or not self.can_pair(columns):
            return super().insert_columns(columns, cells, key, wants_pks=wants_pks)

        count = len(cells[0])
        pk = f" RETURNING {self.quote(self.pk.column)}" if wants_pks else ""
        ignoring = " ON CONFLICT DO NOTHING" if key else ""
        given = self.arrays(columns, cells)

        with self._cursor() as cursor:
            cursor.execute(f"{self._insert_into(columns)}{ignoring}{pk}", given)

            # Where some were skipped, it must be known which: they are not stored.
            if cursor.rowcount != count:
                return [MISSING] * count

            if not wants_pks:
                return [None] * count

            found = self.converted([self.pk], cursor.fetchall())

        return [pk for (pk,) in found]

    def update(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, Sequence[Any]]]
    ) -> None:
        if not all(map(self._has_array, [self.pk, *columns])):
            super().update(columns, rows)

            return

        cells = zip(*(row for _, row in rows), strict=True)
        self.update_columns(columns, [pk for pk, _ in rows], [*cells])

    def update_columns(
        self,
        columns: Sequence[Column],
        pks: Sequence[Any],
        cells: Sequence[Sequence[Any]],
    ) -> None:
        given = [self.pk, *columns]

        if not all(map(self._has_array, given)):
            super().update_columns(columns, pks, cells)

            return

        assignments = ", ".join(
            f"{self.quote(column.column)} = given.c{index}"
            for index, column in enumerate(columns, start=1)
        )
        names = ", ".join(f"c{index}" for index in range(len(given)))
        pk = self.quote(self.pk.column)

        with self._cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.table} SET {assignments} "
                f"FROM unnest({self._places(given)}) AS given({names}) "
                f"WHERE {self.table}.{pk} = given.c0",
                self.arrays(given, [pks, *cells]),
            )

    def arrays(
        self, columns: Sequence[Column], cells: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """What `_places` stand for."""
        return [
            part.parameter
            if isinstance(part, ReadyColumn)
            else self._parameter(column, part)
            for column, part in zip(columns, cells, strict=True)
        ]

    def made_ready(self, column: Column, cells: Sequence[Any]) -> Sequence[Any]:
        # With an absent one among them, they are not all that is written.
        if not self._has_array(column) or Absent in {*map(type, cells)}:
            return cells

        return ReadyColumn(cells, self._parameter(column, cells))

    def _parameter(self, column: Column, cells: Sequence[Any]) -> Any:
        given = values_of(column, cells, self.connection)

        return array(given, self.connection) if has_binary(self.connection) else given

    def _insert_into(self, columns: Sequence[Column]) -> str:
        names = ", ".join(self.quote(column.column) for column in columns)

        return (
            f"INSERT INTO {self.table} ({names}) "
            f"SELECT * FROM unnest({self._places(columns)})"
        )

    def _cursor(self) -> Any:
        """One that sends values apart from the statement, in their binary form: none
        of them is quoted here or parsed there."""
        if has_binary(self.connection):
            return binary_cursor(self.connection)

        return self.connection.cursor()

    def _places(self, columns: Sequence[Column]) -> str:
        places = (cols.array_sql(column, self.connection) for column in columns)
        sql = ", ".join(places)

        return sql.replace("%s::", "%b::") if has_binary(self.connection) else sql

    def _has_array(self, column: Column) -> bool:
        return cols.has_array(column, self.connection)
