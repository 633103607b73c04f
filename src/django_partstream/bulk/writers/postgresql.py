"""PostgreSQL: a statement takes each column as one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream.bulk import columns as cols

from .paired import PairingWriter

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
        names = ", ".join(self.quote(column.column) for column in columns)

        with self._cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self.table} ({names}) "
                f"SELECT * FROM unnest({self._arrays(columns)}) "
                f"ON CONFLICT DO NOTHING RETURNING {returned}",
                values,
            )

            return list(cursor.fetchall())

    def update(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, Sequence[Any]]]
    ) -> None:
        given = [self.pk, *columns]

        if not all(map(self._has_array, given)):
            super().update(columns, rows)

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
                f"FROM unnest({self._arrays(given)}) AS given({names}) "
                f"WHERE {self.table}.{pk} = given.c0",
                self.prepared_columns(
                    given, [(pk, *row) for pk, row in rows], in_array=True
                ),
            )

    def _cursor(self) -> Any:
        """One that sends values apart from the statement, in their binary form: none
        of them is quoted here or parsed there."""
        if not _has_psycopg_3():
            return self.connection.cursor()

        import psycopg

        connection: Any = self.connection
        connection.ensure_connection()

        return connection._prepare_cursor(psycopg.Cursor(connection.connection))

    def _arrays(self, columns: Sequence[Column]) -> str:
        arrays = (cols.array_sql(column, self.connection) for column in columns)
        arrays_sql = ", ".join(arrays)

        return arrays_sql.replace("%s::", "%b::") if _has_psycopg_3() else arrays_sql

    def _has_array(self, column: Column) -> bool:
        return cols.has_array(column, self.connection)


def _has_psycopg_3() -> bool:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)
