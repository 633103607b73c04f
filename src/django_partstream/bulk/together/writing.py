"""Rows of a block that were judged, into the table."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django_partstream.bulk.compiled.reading import ABSENT, Absent
from django_partstream.bulk.locking import insert_order, ordering_set, sorted_keys
from django_partstream.bulk.mirror import mirrored
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.table import COMPARABLE_OR_MOMENT
from django_partstream.bulk.writers import MISSING

from .rows import NotTogetherError, Rows, Written, picked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .rows import Known
    from .together import Together

__all__ = ("Writing",)


class Writing:
    """Writes rows by columns."""

    def __init__(
        self,
        of: Together,
        known: Known,
        *,
        wants_pks: bool,
        wants_columns: Sequence[str],
    ) -> None:
        self._of = of
        self._known = known
        self._wants_pks = wants_pks
        self._wants_columns = wants_columns

    def write(self, rows: Rows) -> Written:
        if not rows.places:
            return Written([], [], dict.fromkeys(self._wants_columns, ()))

        columns = self._columns(rows)

        if self._known.repeats:
            columns = self._folded(columns, rows.places)

        if rows.stored is None:
            return self.insert(columns, rows.places)

        return self._update(columns, rows)

    def _folded(
        self, columns: dict[str, Sequence[Any]], places: Sequence[int]
    ) -> dict[str, Sequence[Any]]:
        """As the last rows of each key leave them."""
        of, names = self._of, self._known.names
        stored = {
            place: dict(zip(names, self._known.stored_at[place], strict=False))
            for place in self._known.repeats.heads
            if place in self._known.stored_at
        }
        folded = self._known.repeats.folded(
            places,
            columns,
            stored,
            self._of.table,
            lambda name, cells: mirrored(
                self._of.table.by_name[name], cells, of.facts, of.target.using
            ),
        )

        if folded is None:
            raise NotTogetherError

        return folded

    def _columns(self, rows: Rows) -> dict[str, Sequence[Any]]:
        plain = [place for place in rows.places if place not in rows.records]
        columns = rows.judge.columns(self._of.table, plain)

        if columns is None:
            raise NotTogetherError

        if len(plain) == len(rows.places):
            return columns

        if any(not record.keys() <= columns.keys() for record in rows.records.values()):
            raise NotTogetherError

        whole: dict[str, Sequence[Any]] = {}

        for name, cells in columns.items():
            rest = iter(cells)
            whole[name] = [
                rows.records[place].get(name, ABSENT)
                if place in rows.records
                else next(rest)
                for place in rows.places
            ]

        return whole

    def insert(
        self, columns: Mapping[str, Sequence[Any]], places: Sequence[int]
    ) -> Written:
        completed = self._of.table.completed(columns, len(places))

        if not completed:
            raise NotTogetherError

        shown = self._mirrored(completed)
        key = self._of.fields.columns
        order: Sequence[int] = range(len(places))

        if key:
            if any(self._known.keys[place] is None for place in places):
                raise NotTogetherError

            columns_in_order = ordering_set(self._of.target.model, completed) or key
            order = (
                insert_order(columns_in_order, completed, self._of.target.using)
                if columns_in_order != key
                else sorted_keys([self._known.keys[place] for place in places])
            )
            pick = itemgetter(*order) if len(order) > 1 else tuple
            completed = {name: pick(cells) for name, cells in completed.items()}

            if self._of.fields.nulls_match and any(
                None in (self._known.keys[place] or ()) for place in places
            ):
                # By such a key, no writer tells which rows came back.
                key = ()

        pks = self._of.writer.insert_columns(
            [self._of.table.by_name[name] for name in completed],
            [*completed.values()],
            key,
            wants_pks=self._wants_pks or bool(self._known.repeats),
        )

        if MISSING in pks:
            raise NotTogetherError

        kinds = [Kind.CREATED] * len(places)

        if self._of.fields.columns:
            given: list[Any] = [None] * len(places)

            for index, pk in zip(order, pks, strict=True):
                given[index] = pk

            pks = given

        return Written(kinds, pks, {**shown, self._of.pk: pks})

    def _mirrored(
        self, columns: Mapping[str, Sequence[Any]]
    ) -> dict[str, Sequence[Any]]:
        """What the wanted ones of these columns show of what they are given."""
        of, shown = self._of, {}

        for name in self._wants_columns:
            if name in columns:
                column = self._of.table.by_name[name]
                cells = mirrored(column, columns[name], of.facts, of.target.using)

                if cells is not None:
                    shown[name] = cells

        return shown

    def _update(self, columns: dict[str, Sequence[Any]], rows: Rows) -> Written:
        places = rows.places
        stored = rows.stored or {}
        pks = stored[self._of.pk]

        # Some of them have failed.
        if len(pks) > len(places):
            stored = self._known.held(places)
            pks = stored[self._of.pk]

        matched = {column.attname for column in self._of.fields.columns}
        given = {
            name: self._filled(cells, stored[name])
            for name, cells in columns.items()
            if {*map(type, cells)} != {Absent}
        }
        changes = {
            # What a row was found by is what it has.
            name: self._of.table.changed(name, stored[name], cells)
            if name not in matched
            else []
            for name, cells in given.items()
        }

        if changes.get(self._of.pk):
            raise NotTogetherError

        touched = self._of.table.touched(len(places))
        changed = (
            range(len(places))
            if touched
            else sorted({index for some in changes.values() for index in some})
        )
        written = {n: cells for n, cells in given.items() if changes[n]} | touched

        if changed:
            self._of.writer.update_columns(
                [self._of.table.by_name[name] for name in written],
                picked(pks, changed),
                [picked(cells, changed) for cells in written.values()],
            )

        kinds = [Kind.UNCHANGED] * len(places)

        for index in changed:
            kinds[index] = Kind.UPDATED

        return Written(kinds, [*pks], self._updated(stored, written, changed))

    def _updated(
        self,
        stored: Mapping[str, Sequence[Any]],
        written: Mapping[str, Sequence[Any]],
        changed: Sequence[int],
    ) -> dict[str, Sequence[Any]]:
        """What the wanted columns show of rows of which some were changed."""
        shown: dict[str, Sequence[Any]] = {}
        given = self._mirrored(
            {name: picked(cells, changed) for name, cells in written.items()}
        )

        for name in self._wants_columns:
            if name in given:
                cells = [*stored[name]]

                for index, cell in zip(changed, given[name], strict=True):
                    cells[index] = cell

                shown[name] = cells
            elif (
                name not in written
                # Not generated from what was written.
                and name in self._of.table.by_name
                and self._of.facts.is_plain
            ):
                shown[name] = stored[name]

        return shown

    def _filled(self, cells: Sequence[Any], stored: Sequence[Any]) -> Sequence[Any]:
        """Rows that do not say keep what they have: they are locked."""
        if Absent not in {*map(type, cells)}:
            return cells

        if not {*map(type, stored)} <= COMPARABLE_OR_MOMENT:
            raise NotTogetherError

        return [
            old if new is ABSENT else new
            for new, old in zip(cells, stored, strict=True)
        ]
