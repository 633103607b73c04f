"""Writers whose INSERT skips what a unique constraint refuses and returns the rest.

They return each row's key beside its primary key, so that it is known which row came
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_partstream.bulk import columns as cols

from .portable import MISSING, PortableWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_partstream.bulk.columns import Column

__all__ = ("PairingWriter",)


class _UnpairedError(Exception):
    """The database stored a key other than the one that was given."""


class PairingWriter(PortableWriter):
    """Base of the writers that know INSERT … ON CONFLICT DO NOTHING RETURNING."""

    #: Whether a statement is given each column as one array.
    takes_arrays = False

    def can_pair(self, columns: Sequence[Column]) -> bool:
        """Whether `insert_returning` can take these columns."""
        raise NotImplementedError

    def insert_returning(
        self, columns: Sequence[Column], values: Sequence[list[Any]], returned: str
    ) -> list[Sequence[Any]]:
        """Insert what is not refused. `values` are whole columns, as the driver wants
        them; `returned` is a list of columns, in SQL."""
        raise NotImplementedError

    def insert(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        key: Sequence[Column],
    ) -> list[Any]:
        if not key or not self.can_pair(columns):
            return super().insert(columns, rows, key)

        try:
            with transaction.atomic(using=self.using):
                return self._insert_paired(columns, rows, key)
        except _UnpairedError:
            return super().insert(columns, rows, key)

    def _insert_paired(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        key: Sequence[Column],
    ) -> list[Any]:
        returned = ", ".join(self.quote(column.column) for column in (self.pk, *key))
        values = self.prepared_columns(columns, rows, in_array=self.takes_arrays)
        stored = self.insert_returning(columns, values, returned)

        if len(stored) == len(rows):
            # All of them, in their order, on which `bulk_create` relies, too.
            pks = self.converted([self.pk], [row[:1] for row in stored])

            return [pk for (pk,) in pks]

        places = [columns.index(column) for column in key]
        given = [[row[place] for place in places] for row in rows]

        return _pair(key, given, self.converted([self.pk, *key], stored))


def _pair(
    key: Sequence[Column],
    given: Sequence[Sequence[Any]],
    stored: Sequence[Sequence[Any]],
) -> list[Any]:
    pks = {tuple(map(cols.identity, key, rest)): pk for pk, *rest in stored}
    keys = [tuple(map(cols.identity, key, values)) for values in given]
    paired = [pks.pop(values, MISSING) for values in keys]

    if pks:
        raise _UnpairedError

    return paired
