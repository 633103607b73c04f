"""One block on its way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.db import transaction

from django_partstream.bulk.matching import Finder, locked_values
from django_partstream.bulk.outcome import Kind, Outcome
from django_partstream.bulk.outcomes import Outcomes
from django_partstream.bulk.refusals import NOT_UNIQUE, REFUSALS, refusal
from django_partstream.bulk.repeats import Repeats, later_rows

from .judging import Judging
from .rows import Known, NotTogetherError, RefusedError, Rows, Written
from .writing import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django_partstream.bulk.block import Block

    from .together import Together

__all__ = ("Run",)


class Run:
    """One block: its keys are matched, its rows judged and written."""

    def __init__(
        self,
        of: Together,
        block: Block,
        data: Sequence[Any],
        *,
        wants_pks: bool,
        wants_columns: Sequence[str],
    ) -> None:
        self._of = of
        self._block = block
        self._wants_columns = wants_columns
        self._known = Known(data, of.stored_names(wants_columns), dict(block.errors))
        self._judging = Judging(of, self._known)
        self._writing = Writing(
            of, self._known, wants_pks=wants_pks, wants_columns=wants_columns
        )

    def outcomes(self) -> Outcomes:
        plan = self._of.plan
        plan.prime(self._known.data)

        with plan.watch.watching():
            if self._of.verb.matches:
                self._read_keys()
                self._match()

            groups = self._groups()

            if (len(groups) > 1 or self._known.repeats) and self._of.in_order:
                raise NotTogetherError

            judged = self._judging.judged(groups)

        kinds: list[Any] = [Kind.FAILED] * len(self._known.data)
        pks: list[Any] = [None] * len(self._known.data)

        with self._hoping(), transaction.atomic(using=self._of.target.using):
            written = [self._writing.write(rows) for rows in judged]

        for rows, one in zip(judged, written, strict=True):
            if len(rows.places) == len(kinds):
                return self._settled(*one)

            for place, kind, pk in zip(rows.places, one.kinds, one.pks, strict=True):
                kinds[place], pks[place] = kind, pk

        self._tell_repeats(kinds, pks)

        return self._settled(kinds, pks, self._merged(judged, written))

    def inserted(self, columns: Mapping[str, Sequence[Any]]) -> Outcomes:
        """The outcomes of new rows that are known to need nobody's look."""
        with transaction.atomic(using=self._of.target.using):
            written = self._writing.insert(columns, range(len(self._known.data)))

        return self._settled(*written)

    @contextlib.contextmanager
    def _hoping(self) -> Iterator[None]:
        """Tells a refusal of rows that were not asked about from others."""
        try:
            yield
        except (NotTogetherError, *REFUSALS) as error:
            is_about_twins = (
                isinstance(error, NotTogetherError) or refusal(error) is NOT_UNIQUE
            )

            if not self._judging.hopes or not is_about_twins:
                raise

            raise RefusedError from error

    def _merged(
        self, judged: Sequence[Rows], written: Sequence[Written]
    ) -> dict[str, Sequence[Any]]:
        """What all rows hold, in their order."""
        merged: dict[str, Sequence[Any]] = {}

        for name in self._wants_columns:
            if self._known.failed or not all(name in one.stored for one in written):
                continue

            cells: list[Any] = [None] * len(self._known.data)

            for rows, one in zip(judged, written, strict=True):
                for place, cell in zip(rows.places, one.stored[name], strict=True):
                    cells[place] = cell

            for place, head in self._known.repeats.head_of.items():
                cells[place] = cells[head]

            merged[name] = cells

        return merged

    def _settled(
        self,
        kinds: list[Any],
        pks: list[Any],
        stored: Mapping[str, Sequence[Any]],
    ) -> Outcomes:
        block = self._block
        failed = {
            place: Outcome(
                row=block.first + place,
                line=block.lines[place] if block.lines is not None else None,
                kind=Kind.FAILED,
                errors=errors,
                data=block.values[place],
            )
            for place, errors in self._known.failed.items()
        }

        return Outcomes(block.first, kinds, pks, failed, block.lines, stored)

    def _read_keys(self) -> None:
        of = self._of
        known = of.keys.known(self._of.plan, self._known.data)

        for place, key in enumerate(known) if None in known else ():
            if key is None and place not in self._known.failed:
                known[place], errors = of.keys.read(self._known.data[place])

                if errors:
                    self._known.failed[place] = errors

        if self._of.plan.watch.hit:
            raise NotTogetherError

        self._known.keys = known

    def _match(self) -> None:
        """Find and lock the rows that have the keys."""
        of = self._of
        keys = self._known.keys

        for place in self._known.failed:
            keys[place] = None

        wanted = {key for key in keys if key is not None}

        if len(wanted) < len(keys) - keys.count(None):
            self._part_repeats()

        reader = locked_values(self._known.names)
        finder = Finder(of.target.world, of.fields.columns, reader)

        with self._of.plan.watch.looking_away():
            found = finder.find(wanted).rows

        must_exist = of.fields.is_assigned or not of.verb.creates

        for place, key in enumerate(keys):
            rows = found.get(key) if key is not None else ()

            if rows:
                self._known.stored_at[place] = rows[0]
            elif must_exist and key is not None:
                self._known.failed[place] = (of.keys.not_found(key),)

        for place, head in self._known.repeats.head_of.items():
            if head in self._known.failed:
                self._known.failed[place] = self._known.failed[head]

    def _part_repeats(self) -> None:
        if any(None in key for key in self._known.keys if key is not None):
            raise NotTogetherError

        self._known.repeats = Repeats(later_rows(self._known.keys))

        if not self._known.repeats.are_plain(self._of.plan.stored, self._of.table):
            raise NotTogetherError

        # By its first row alone is a key looked for, and written.
        for place in self._known.repeats.head_of:
            self._known.keys[place] = None

    def _tell_repeats(self, kinds: list[Any], pks: list[Any]) -> None:
        """What became of later rows, and of stored ones by their first."""
        repeats = self._known.repeats
        is_touched = bool(repeats) and bool(self._of.table.touched(1))

        for place, head in repeats.head_of.items():
            if head in self._known.failed:
                continue

            pks[place] = pks[head]

            for each in (place, head):
                if kinds[each] is not Kind.CREATED:
                    is_changed = is_touched or each in repeats.changed
                    kinds[each] = Kind.UPDATED if is_changed else Kind.UNCHANGED

    def _groups(self) -> list[Rows]:
        left_out = self._known.failed.keys() | self._known.repeats.head_of.keys()
        places = [p for p in range(len(self._known.data)) if p not in left_out]
        groups = []
        new = [place for place in places if place not in self._known.stored_at]
        stored = [place for place in places if place in self._known.stored_at]

        if new:
            groups.append(Rows(self._of.plan.new, new, None))

        if stored:
            groups.append(Rows(self._of.plan.stored, stored, self._known.held(stored)))

        return groups
