"""In which order rows are locked and inserted, so that writers that meet wait for each
other instead of dying in a deadlock.

A transaction locks the stored rows that it will change before it writes, in the order
of their primary keys; then it inserts new ones, each batch in the order of one unique
set, the same for every request. So there is a total order among transactions of one
batch, and of stored rows among all. Inserts of several batches have none: rows that are
new must be tried in the order of the input, since of two that want the same value the
first has it. Two unique sets that sort rows differently have none either, nor has
InnoDB, which locks what it scans in the order of the index that it likes best. Who
meets there is tried again, a whole request as one batch then; a job, whose rows are a
stream, from where it last committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

from . import columns as cols
from .compiled.unique import identities
from .matching import Finder, lock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from django.db.models import Model, QuerySet

    from .columns import Column
    from .matching import Key

__all__ = (
    "insert_order",
    "lock_rows",
    "locks_in_order",
    "ordering_set",
    "sorted_keys",
)


def locks_in_order(using: str) -> bool:
    """Whether `lock_rows` locks in the order of primary keys, and not as it scans."""
    connection = connections[using]

    return connection.features.has_select_for_update and connection.vendor != "mysql"


def lock_rows(
    world: QuerySet[Any], columns: tuple[Column, ...], keys: Collection[Key]
) -> None:
    """Lock the rows of `world` that have these keys until the transaction ends."""
    if not keys:
        return

    def locked(
        queryset: QuerySet[Any], _: tuple[Column, ...]
    ) -> Iterable[tuple[Key, Any]]:
        lock(queryset)

        return ()

    Finder(world, columns, locked).find(keys)


def ordering_set(model: type[Model], names: Collection[str]) -> tuple[Column, ...]:
    """By what new rows with these columns are sorted, whatever their request calls
    their key; empty where nothing but a primary key is unique."""
    for columns in cols.unique_sets(model):
        if not any(column.primary_key for column in columns) and all(
            column.attname in names for column in columns
        ):
            return columns

    return ()


def insert_order(
    columns: Sequence[Column], cells: Mapping[str, Sequence[Any]], using: str
) -> list[int]:
    """The order of rows by these columns, of which `cells` has the values; rows that
    the database may take for equal keep theirs."""
    parts = [_ranks(column, cells[column.attname], using) for column in columns]

    return sorted_keys([*zip(*parts, strict=True)])


def sorted_keys(keys: Sequence[Any]) -> list[int]:
    """The order of rows by their keys."""
    try:
        return sorted(range(len(keys)), key=keys.__getitem__)
    except TypeError:
        # Nulls among them.
        return sorted(range(len(keys)), key=lambda index: str(keys[index]))


def _ranks(column: Column, cells: Sequence[Any], using: str) -> Sequence[Any]:
    found = identities(column, cells)

    if cols.compares_exactly(column, connections[using]):
        return found

    return [*map(cols.folded, found)]
