"""How a database is told to store many rows at once: the only SQL we write.

A writer is chosen by `connection.vendor`; every other database gets the portable one.
It is given values as Python has them and turns them into what the database wants with
`Field.get_db_prep_save`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections

from .portable import MISSING, PortableWriter
from .postgresql import PostgreSQLWriter
from .sqlite import SQLiteWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model

    from django_partstream.bulk.columns import Column

__all__ = ("MISSING", "Writer", "writer_for")


class Writer(Protocol):
    """Stores rows of one model. Raises what the database raises; then, some rows may
    have been written, and the caller's savepoint is to be rolled back."""

    def prepare(self) -> None:
        """Called once in a transaction, before anything is written."""

    def insert(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Any]],
        key: Sequence[Column],
    ) -> list[Any]:
        """The new rows' primary keys, in order. Where `key`, columns whose values are
        all given and none null, is not empty, a row that a unique constraint refuses
        may be MISSING instead of an error for all."""

    def update(
        self, columns: Sequence[Column], rows: Sequence[tuple[Any, Sequence[Any]]]
    ) -> None:
        """Set these columns of the rows with these primary keys."""

    def insert_columns(
        self,
        columns: Sequence[Column],
        cells: Sequence[Sequence[Any]],
        key: Sequence[Column],
        *,
        wants_pks: bool,
    ) -> list[Any]:
        """As `insert`, of whole columns. Unless `wants_pks`, the primary keys may be
        None."""

    def made_ready(self, column: Column, cells: Sequence[Any]) -> Sequence[Any]:
        """The same cells, with what can be done for `insert_columns` beforehand, in any
        thread."""

    def update_columns(
        self,
        columns: Sequence[Column],
        pks: Sequence[Any],
        cells: Sequence[Sequence[Any]],
    ) -> None:
        """As `update`, of whole columns."""


WRITERS: dict[str, type[PortableWriter]] = {
    "postgresql": PostgreSQLWriter,
    "sqlite": SQLiteWriter,
}


def writer_for(model: type[Model], using: str) -> Writer:
    """The writer for this model's table in this database."""
    writer = WRITERS.get(connections[using].vendor, PortableWriter)

    return writer(model, using)
