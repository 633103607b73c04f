"""Rows whose key an earlier row of their block has.

Each changes what the row before it left, so that only what the last one leaves has to
be written; what each of them changed is told as if all had been. Not where anything but
their values has a say in that: a value that only the database would refuse, or shows
as another, is for whoever writes one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db.models import CheckConstraint

from .compiled.reading import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .columns import Column
    from .judge import Judge
    from .table import Table

    Mirror = Callable[[str, Sequence[Any]], Sequence[Any] | None]

__all__ = ("Repeats", "later_rows")


def later_rows(keys: Sequence[Any]) -> dict[int, int]:
    """The places of keys that came before, each with that of the first."""
    first: dict[Any, int] = {}
    later: dict[int, int] = {}

    for place, key in enumerate(keys):
        if key is not None and (head := first.setdefault(key, place)) != place:
            later[place] = head

    return later


class Repeats:
    """The later rows of a block: where each is, and where the first of its key."""

    def __init__(self, head_of: Mapping[int, int]) -> None:
        self.head_of = head_of
        self.heads = {*head_of.values()}
        self.places = [*head_of]
        #: The rows, first ones among them, that change what is stored.
        self.changed: set[int] = set()
        self._given: Mapping[str, Sequence[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self.head_of)

    def are_plain(self, judge: Judge, table: Table) -> bool:
        """Whether nothing but their values says what becomes of them."""
        model = judge.serializer.Meta.model  # type: ignore[attr-defined]

        if (
            judge.asks
            or any(isinstance(c, CheckConstraint) for c in model._meta.constraints)
            or not judge.odd().isdisjoint(self.places)
        ):
            return False

        given = judge.columns(table, self.places)
        self._given = given or {}

        return given is not None

    def folded(
        self,
        places: Sequence[int],
        columns: Mapping[str, Sequence[Any]],
        stored: Mapping[int, Mapping[str, Any]],
        table: Table,
        mirror: Mirror,
    ) -> dict[str, Sequence[Any]] | None:
        """The columns of first rows, of which some have later ones, as the last rows
        leave them; None where somebody else must tell. `stored` is what the first rows
        find, by place; nothing of those that are new. `mirror` says what a column shows
        of what is written to it."""
        index_of = {place: index for index, place in enumerate(places)}
        later = [
            (nth, index_of[head])
            for nth, head in enumerate(self.head_of.values())
            if head in index_of
        ]
        heads = sorted({index for _, index in later})
        whole = dict(columns)

        for name, cells in columns.items() if later else ():
            given = self._given[name]
            first = [(i, cells[i]) for i in heads if cells[i] is not ABSENT]
            said = [(nth, i, given[nth]) for nth, i in later]
            said = [one for one in said if one[2] is not ABSENT]
            new, news = [cell for _, cell in first], [cell for *_, cell in said]
            shown, told = mirror(name, new), mirror(name, news)

            if (
                shown is None
                or told is None
                or not _fit(table.by_name[name], (*new, *news))
            ):
                return None

            held = {i: stored[places[i]][name] for i in heads if places[i] in stored}
            found = [(i, cell) for i, cell in first if i in held]
            changed = table.changed(
                name, [held[i] for i, _ in found], [cell for _, cell in found]
            )
            self.changed.update(places[found[nth][0]] for nth in changed)
            held.update(zip((i for i, _ in first), shown, strict=True))
            before, last = [], [*cells]

            for (_, index, cell), after in zip(said, told, strict=True):
                # The first row left it to a default.
                if index not in held:
                    return None

                before.append(held[index])
                held[index], last[index] = after, cell

            changed = table.changed(name, before, news)
            self.changed.update(self.places[said[nth][0]] for nth in changed)
            whole[name] = last

        return whole


def _fit(column: Column, cells: Iterable[Any]) -> bool:
    """Whether no database would refuse these, of which some are not written."""
    for cell in cells:
        if cell is None:
            if not column.null:
                return False

            continue

        try:
            column.run_validators(cell)

            if isinstance(cell, str):
                cell.encode()
        except (ValidationError, UnicodeError):
            return False

    return True
