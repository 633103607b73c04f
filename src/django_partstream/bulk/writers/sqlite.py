"""SQLite: multi-row VALUES within its parameter limit, executemany for updates."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

from .paired import PairingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        names = ", ".join(self.quote(column.column) for column in columns)
        places = f"({', '.join(['%s'] * len(columns))})"
        rows = list(zip(*values, strict=True))
        step = max(1, self._limit() // len(columns))
        stored: list[Sequence[Any]] = []

        with self.connection.cursor() as cursor:
            for start in range(0, len(rows), step):
                chunk = rows[start : start + step]
                cursor.execute(
                    f"INSERT INTO {self.table} ({names}) "
                    f"VALUES {', '.join([places] * len(chunk))} "
                    f"ON CONFLICT DO NOTHING RETURNING {returned}",
                    list(chain.from_iterable(chunk)),
                )
                stored += cursor.fetchall()

        return stored

    def _limit(self) -> int:
        limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER

        known: int = self.connection.connection.getlimit(limit)

        return min(known, MAX_PARAMETERS)
