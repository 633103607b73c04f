"""Some rows of a block, and what is known of all of them."""

from __future__ import annotations

import dataclasses
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django_partstream.bulk.repeats import Repeats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django_partstream.bulk.judge import Judge
    from django_partstream.bulk.matching import Key
    from django_partstream.bulk.outcome import Kind, RowError
    from django_partstream.bulk.questions import Check

__all__ = (
    "PENDING",
    "Asked",
    "Known",
    "NotTogetherError",
    "RefusedError",
    "Rows",
    "Written",
    "picked",
)

#: Whose primary key is not known yet.
PENDING = object()


class NotTogetherError(Exception):
    """Batch must see to these rows."""


class RefusedError(NotTogetherError):
    """The database refused rows that were not asked about before."""


class Rows(NamedTuple):
    """Rows of one kind: all new, or all changes of stored ones."""

    judge: Judge
    #: Which of the block, in order.
    places: list[int]
    #: What they change, by column.
    stored: Mapping[str, Sequence[Any]] | None
    #: What those that were judged by themselves are to hold, by place.
    records: Mapping[int, dict[str, Any]] = {}


class Asked(NamedTuple):
    """The keys that rows ask for, each its own; None where one asks for none."""

    rows: Rows
    check: Check
    keys: list[Any]


class Written(NamedTuple):
    """What was done with each of some rows, its primary key, and what it holds now, by
    column, as far as this is known."""

    kinds: list[Kind]
    pks: list[Any]
    stored: Mapping[str, Sequence[Any]]


@dataclasses.dataclass(slots=True)
class Known:
    """What is known of a block's rows, each by its place in it."""

    data: Sequence[Any]
    #: The columns that are read of stored rows, the primary key first.
    names: Sequence[str]
    failed: dict[int, tuple[RowError, ...]]
    keys: list[Key | None] = dataclasses.field(default_factory=list)
    #: What those hold that are stored already.
    stored_at: dict[int, Sequence[Any]] = dataclasses.field(default_factory=dict)
    #: Rows whose key came before: they change what is written, not what is stored.
    repeats: Repeats = dataclasses.field(default_factory=lambda: Repeats({}))

    def held(self, places: Sequence[int]) -> dict[str, Sequence[Any]]:
        """What the stored rows of these places hold, by column."""
        found = [self.stored_at[place] for place in places]

        return {
            name: [*map(itemgetter(index), found)]
            for index, name in enumerate(self.names)
        }


def picked(cells: Sequence[Any], indexes: Sequence[int]) -> list[Any]:
    if len(indexes) == len(cells):
        return [*cells]

    return [cells[index] for index in indexes]
