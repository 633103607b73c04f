"""Rows written together: a few queries and statements, however many rows there are.

The outcome is that of one by one, in order. A *window* of rows is matched, validated,
then written; it ends before the first row that has to see what an earlier row of the
window writes. The next one is shorter then.
"""

from __future__ import annotations

import functools
import logging
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, transaction

from . import columns as cols
from .entry import DENIALS, denied
from .locking import insert_order, ordering_set
from .matching import Finder, locked_instances, primary_keys
from .outcome import Kind, RowError
from .plan import Candidate
from .refusals import CONFLICT, NO_REFERENCE, NOT_UNIQUE, REFUSALS, refusal
from .writers import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .columns import Column
    from .entry import Entry, Target
    from .keys import KeyReader, UniqueFields
    from .one_by_one import OneByOne
    from .plan import Plan
    from .references import References
    from .verb import Verb
    from .writers import Writer

__all__ = ("Batch",)

logger = logging.getLogger(__name__)


class Batch:
    """Writes the rows of one batch."""

    def __init__(
        self,
        target: Target,
        fields: UniqueFields,
        *,
        verb: Verb,
        plan: Plan,
        keys: KeyReader,
        references: References,
        writer: Writer,
        one_by_one: OneByOne,
        update_data: Callable[[Any], Any],
    ) -> None:
        self._target = target
        self._fields = fields
        self._verb = verb
        self._plan = plan
        self._keys = keys
        self._references = references
        self._writer = writer
        self._one_by_one = one_by_one
        self._update_data = update_data
        self._table = plan.table
        self._links = plan.links
        connection = connections[target.using]
        self._is_exact = all(
            cols.compares_exactly(column, connection) for column in fields.columns
        )
        self._key_names = [column.attname for column in fields.columns]
        self._in_order = self._table.has_hidden_conflicts(
            {frozenset(fields.columns), *plan.checks.covers()}, plan.sources
        )

    def run(self, entries: Sequence[Entry], *, is_primed: bool = False) -> None:
        """Settle them all. `is_primed`: the plan has read them in this transaction."""
        if not is_primed:
            self._plan.prime([entry.data for entry in entries])

        self._keys.prime(self._plan)
        self._windows(entries)

    def _windows(self, entries: Sequence[Entry]) -> None:
        start, size = 0, len(entries)

        while start < len(entries):
            settled = self._window(entries[start : start + size])
            start += settled
            # What is judged in vain stays in proportion to what is settled.
            size = 2 * settled

    def _window(self, entries: Sequence[Entry]) -> int:
        """Give the first rows their outcomes; how many, at least one."""
        for entry in entries:
            entry.reset()

        for step in (self._read_keys, self._match, self._permit, self._validate):
            entries = entries[: step(entries)]

        if entries[0].outcome is None and entries[0].record is None:
            # What it writes are no plain values of columns.
            self._one_by_one.store(entries[0])

            return 1

        overtaken = self._overtaken(entries)
        self._write([entry for entry in entries if entry.outcome is None])
        self._windows(overtaken)

        return len(entries)

    def _overtaken(self, entries: Sequence[Entry]) -> list[Entry]:
        """Rows that are refused because of what another transaction has stored under
        their key since they were looked for: to be judged anew, once."""
        suspects = [entry for entry in entries if entry.may_be_overtaken]

        if not suspects:
            return []

        finder = Finder(self._target.world, self._fields.columns, primary_keys)
        found = finder.find([e.key for e in suspects if e.key is not None]).rows
        overtaken = [entry for entry in suspects if entry.key in found]

        for entry in overtaken:
            entry.retried = True

        return overtaken

    def _read_keys(self, entries: Sequence[Entry]) -> int:
        seen = set()

        with self._plan.watch.watching():
            for index, entry in enumerate(entries):
                if entry.outcome is not None:
                    continue

                entry.key, errors = self._keys.read(entry.data, entry.place)
                known = entry.key

                if known is not None and not self._is_exact:
                    known = tuple(map(cols.folded, known))

                if index and (known in seen or self._plan.watch.hit):
                    return index

                if errors:
                    entry.fail(*errors)
                elif known is not None:
                    seen.add(known)

                self._plan.watch.hit = False

        return len(entries)

    def _match(self, entries: Sequence[Entry]) -> int:
        keys = [e.key for e in entries if e.key is not None and e.outcome is None]
        finder = Finder(self._target.world, self._fields.columns, locked_instances)
        found = finder.find(keys).rows if keys else {}
        seen = set()

        for index, entry in enumerate(entries):
            if entry.key is None or entry.outcome is not None:
                continue

            rows = found.get(entry.key)

            if rows:
                entry.instance = rows[0]

                # Two spellings of one key, to this database.
                if entry.instance.pk in seen:
                    return index

                seen.add(entry.instance.pk)
            elif self._fields.is_assigned or not self._verb.creates:
                entry.fail(self._keys.not_found(entry.key))

        return len(entries)

    def _permit(self, entries: Sequence[Entry]) -> int:
        if self._target.check_new is not None:
            for entry in entries:
                if entry.outcome is None and entry.instance is None:
                    entry.ask(self._target.check_new)

        check = self._target.check_object

        if check is None:
            return len(entries)

        with self._plan.watch.watching():
            for index, entry in enumerate(entries):
                if entry.instance is None:
                    continue

                error: RowError | None = None

                try:
                    check(entry.instance)
                except DENIALS as denial:
                    error = denied(denial)

                if index and self._plan.watch.hit:
                    return index

                if error is not None:
                    entry.fail(error)

                self._plan.watch.hit = False

        return len(entries)

    def _validate(self, entries: Sequence[Entry]) -> int:
        live = [(i, entry) for i, entry in enumerate(entries) if entry.outcome is None]
        verdicts = self._plan.validate([self._candidate(entry) for _, entry in live])

        for (index, entry), verdict in zip(live, verdicts, strict=False):
            if not verdict.is_valid:
                entry.fail(*verdict.errors)

                continue

            if verdict.record is None:
                return max(index, 1)

            entry.record = verdict.record

            if self._links:
                entry.links = self._links.split(entry.record)

        self._refer([entry for _, entry in live if entry.record is not None])

        return live[len(verdicts)][0] if len(verdicts) < len(live) else len(entries)

    def _refer(self, entries: Sequence[Entry]) -> None:
        for index in self._references.dangling([entry.values for entry in entries]):
            entries[index].fail(NO_REFERENCE)

    def _candidate(self, entry: Entry) -> Candidate:
        if entry.instance is None:
            return Candidate(entry.place, entry.data)

        data = self._update_data(entry.data)

        return Candidate(entry.place, data, entry.instance)

    def _write(self, entries: Sequence[Entry]) -> None:
        updates = [entry for entry in entries if entry.instance is not None]
        inserts = [entry for entry in entries if entry.instance is None]

        if self._in_order:
            # A constraint that no validator knows: who comes first must win.
            for is_update, run in groupby(
                entries, key=lambda e: e.instance is not None
            ):
                self._write_run(list(run), self._update if is_update else self._insert)
        else:
            self._write_run(updates, self._update)
            self._write_run(self._sorted(inserts), self._insert)

    def _sorted(self, entries: list[Entry]) -> list[Entry]:
        """As `locking` says; those that are found by no key keep their order."""
        keyed = [entry for entry in entries if entry.key is not None]
        others = [entry for entry in entries if entry.key is None]
        names = [name for name in self._table.by_name if _have(keyed, name)]
        columns = ordering_set(self._target.model, names)

        if not columns and not all(name in names for name in self._key_names):
            return entries

        columns = columns or self._fields.columns
        cells = {
            column.attname: [entry.values[column.attname] for entry in keyed]
            for column in columns
        }
        order = insert_order(columns, cells, self._target.using) if keyed else ()

        return [keyed[index] for index in order] + others

    def _write_run(
        self, entries: list[Entry], write: Callable[[list[Entry]], list[Entry]]
    ) -> None:
        again = write(entries)

        # Refused by a unique constraint. Judged anew, each row sees whom it met: a
        # stored row that it now updates, a validator's complaint, or nobody that may
        # be shown.
        for entry in again:
            entry.retried = True

        self._windows(sorted(again, key=lambda entry: entry.row.number))

    def _update(self, entries: list[Entry]) -> list[Entry]:
        changed: list[Entry] = []
        columns_changed: set[str] = set()

        self._links.load({entry.stored.pk: entry.links for entry in entries})

        for entry in entries:
            found = self._table.changes(entry.stored, entry.values)

            if found or self._links.differ(entry.stored.pk, entry.links):
                columns_changed |= found
                changed.append(entry)
            else:
                entry.settle(Kind.UNCHANGED, entry.stored.pk)

        for entry in changed:
            # One statement for rows of which each changes something else; nothing of
            # what all of them leave alone.
            entry.record = {
                name: value
                for name, value in entry.values.items()
                if name in columns_changed
            }
            self._table.touch(entry.stored, entry.values)

        def write(columns: Sequence[Column], some: Sequence[Entry]) -> Iterable[Any]:
            pks = _pks(some)

            if columns:
                rows = list(zip(pks, _cells(columns, some), strict=True))
                self._writer.update(columns, rows)

            self._link(some, pks)

            return pks

        return self._grouped(changed, Kind.UPDATED, write)

    def _insert(self, entries: list[Entry]) -> list[Entry]:
        for entry in entries:
            self._table.complete(entry.values)

        def write(columns: Sequence[Column], some: Sequence[Entry]) -> Iterable[Any]:
            rows = _cells(columns, some)
            key = self._fields.columns if self._has_key(some[0].values) else ()

            pks = self._writer.insert(columns, rows, key)
            self._link(some, pks)

            return pks

        return self._grouped(entries, Kind.CREATED, write)

    def _link(self, entries: Sequence[Entry], pks: Sequence[Any]) -> None:
        if self._links:
            pairs = zip(pks, entries, strict=True)
            self._links.write([(pk, e.links) for pk, e in pairs if pk is not MISSING])

    def _has_key(self, record: dict[str, Any]) -> bool:
        return all(record.get(name) is not None for name in self._key_names)

    def _grouped(
        self,
        entries: Sequence[Entry],
        kind: Kind,
        write: Callable[[Sequence[Column], Sequence[Entry]], Iterable[Any]],
    ) -> list[Entry]:
        """Write rows that have the same columns together; returns those that a unique
        constraint refused."""
        again: list[Entry] = []
        groups: dict[Any, list[Entry]] = {}

        for entry in entries:
            record = entry.values
            kind_of_row = self._has_key(record), tuple(record)
            groups.setdefault(kind_of_row, []).append(entry)

        for (_, names), group in groups.items():
            columns = [c for c in self._table.columns if c.attname in names]
            self._attempt(group, kind, functools.partial(write, columns), again)

        return again

    def _attempt(
        self,
        entries: Sequence[Entry],
        kind: Kind,
        write: Callable[[Sequence[Entry]], Iterable[Any]],
        again: list[Entry],
    ) -> None:
        """Write all of them, or find the rows that the database refuses by halving."""
        try:
            with transaction.atomic(using=self._target.using):
                pks = list(write(entries))
        except REFUSALS as error:
            reason = refusal(error)

            if reason is None:
                raise

            if len(entries) == 1:
                self._refuse(entries[0], reason, error, again)

                return
        else:
            for entry, pk in zip(entries, pks, strict=True):
                if pk is MISSING:
                    self._refuse(entry, NOT_UNIQUE, None, again)
                else:
                    entry.settle(kind, pk)

            return

        half = len(entries) // 2
        self._attempt(entries[:half], kind, write, again)
        self._attempt(entries[half:], kind, write, again)

    def _refuse(
        self,
        entry: Entry,
        reason: RowError,
        error: Exception | None,
        again: list[Entry],
    ) -> None:
        if error is not None and not isinstance(error, DatabaseError):
            logger.warning("Row %s was refused", entry.row.number, exc_info=error)

        if reason is not NOT_UNIQUE:
            entry.fail(reason)
        elif entry.retried:
            entry.fail(CONFLICT if entry.instance is None else NOT_UNIQUE)
        else:
            again.append(entry)


def _have(entries: Sequence[Entry], name: str) -> bool:
    return all(name in entry.values for entry in entries)


def _pks(entries: Sequence[Entry]) -> list[Any]:
    return [entry.stored.pk for entry in entries]


def _cells(
    columns: Sequence[Column], entries: Sequence[Entry]
) -> list[tuple[Any, ...]]:
    """What the columns are to hold, a row for each entry."""
    records = [entry.values for entry in entries]

    if len(columns) < 2:
        return [tuple(record[c.attname] for c in columns) for record in records]

    return list(map(itemgetter(*(c.attname for c in columns)), records))
