"""SQLite: multi-row VALUES within its parameter limit, executemany for updates."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

from .paired import PairingWriter
from .portable import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django_partstream.bulk.columns import Column

__all__ = ("SQLiteWriter",)

# Longer statements are no faster, and each length is prepared anew.
MAX_PARAMETERS = 5_000


class SQLiteWriter(PairingWriter):
    """INSERT … VALUES (…), (…) ON CONFLICT DO NOTHING RETURNING."""

    def can_pair(self, columns: Sequence[Column]) -> bool:
        return self.connection.features.can_return_rows_from_bulk_insert and not any(
            hasattr(column, "get_placeholder") for column in columns
        )

    def insert_returning(
        self, columns: Sequence[Column], values: Sequence[list[Any]], returned: str
    ) -> list[Sequence[Any]]:
        stored: list[Sequence[Any]] = []

        with self.connection.cursor() as cursor:
            for sql, chunk in self._chunks(columns, values):
                cursor.execute(
                    f"{sql} ON CONFLICT DO NOTHING RETURNING {returned}", chunk
                )
                stored += cursor.fetchall()

        return stored

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

        count, written = len(cells[0]), 0
        values = self.prepared_cells(columns, cells)
        end = " ON CONFLICT DO NOTHING" if key else ""
        end += f" RETURNING {self.quote(self.pk.column)}" if wants_pks else ""
        found: list[Sequence[Any]] = []

        with self.connection.cursor() as cursor:
            for sql, chunk in self._chunks(columns, values):
                cursor.execute(f"{sql}{end}", chunk)

                if wants_pks:
                    found += cursor.fetchall()
                else:
                    written += cursor.rowcount

        # Where some were skipped, it must be known which: they are not stored.
        if (len(found) if wants_pks else written) != count:
            return [MISSING] * count

        if not wants_pks:
            return [None] * count

        return [pk for (pk,) in self.converted([self.pk], found)]

    def update_columns(
        self,
        columns: Sequence[Column],
        pks: Sequence[Any],
        cells: Sequence[Sequence[Any]],
    ) -> None:
        if any(hasattr(column, "get_placeholder") for column in columns):
            super().update_columns(columns, pks, cells)

            return

        values = self.prepared_cells([*columns, self.pk], [*cells, pks])

        with self.connection.cursor() as cursor:
            cursor.executemany(self.update_sql(columns), [*zip(*values, strict=True)])

    def _chunks(
        self, columns: Sequence[Column], values: Sequence[list[Any]]
    ) -> Iterator[tuple[str, list[Any]]]:
        """As many rows as a statement may have, and it without its end."""
        names = ", ".join(self.quote(column.column) for column in columns)
        places = f"({', '.join(['%s'] * len(columns))})"
        rows = list(zip(*values, strict=True))
        step = max(1, self._limit() // len(columns))

        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            given = ", ".join([places] * len(chunk))
            sql = f"INSERT INTO {self.table} ({names}) VALUES {given}"
            yield sql, list(chain.from_iterable(chunk))

    def _limit(self) -> int:
        limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER

        known: int = self.connection.connection.getlimit(limit)

        return min(known, MAX_PARAMETERS)
