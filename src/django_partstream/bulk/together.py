"""Rows of which none needs a look at each: a block of them, column by column.

The outcome is `Batch`'s, which is that of one by one. Rows that are not plain are
judged by themselves; those that are refused are left out. Whatever makes the outcome of
one row depend on what another writes, or that a database refuses, is for `Batch`: then
nothing has been written here.
"""

from __future__ import annotations

import contextlib
import functools
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, transaction

from . import columns as cols
from .columnar import Columnar
from .compiled.reading import ABSENT, Absent
from .facts import facts_of
from .locking import insert_order, ordering_set, sorted_keys
from .matching import Finder, can_lock_values, locked_values
from .mirror import mirrored
from .outcome import Kind, Outcome
from .outcomes import Outcomes
from .plan import Candidate
from .ready import made_ready
from .refusals import NOT_UNIQUE, REFUSALS, refusal
from .repeats import Repeats, later_rows
from .table import COMPARABLE_OR_MOMENT
from .writers import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .block import Block
    from .columns import Column
    from .entry import Target
    from .facts import Facts
    from .judge import Judge, Verdict
    from .keys import KeyReader, UniqueFields
    from .matching import Key
    from .outcome import RowError
    from .plan import Plan
    from .questions import Check, Question
    from .references import References
    from .verb import Verb
    from .writers import Writer

__all__ = ("Together",)


#: Whose primary key is not known yet.
_PENDING = object()


class _NotTogetherError(Exception):
    """Batch must see to these rows."""


class _RefusedError(_NotTogetherError):
    """The database refused rows that were not asked about before."""


class _Rows(NamedTuple):
    """Rows of one kind: all new, or all changes of stored ones."""

    judge: Judge
    #: Which of the block, in order.
    places: list[int]
    #: What they change, by column.
    stored: Mapping[str, Sequence[Any]] | None
    #: What those that were judged by themselves are to hold, by place.
    records: Mapping[int, dict[str, Any]] = {}


class _Asked(NamedTuple):
    """The keys that rows ask for, each its own; None where one asks for none."""

    rows: _Rows
    check: Check
    keys: list[Any]


class _Written(NamedTuple):
    """What was done with each of some rows, its primary key, and what it holds now, by
    column, as far as this is known."""

    kinds: list[Kind]
    pks: list[Any]
    stored: Mapping[str, Sequence[Any]]


class Together:
    """Writes blocks of rows."""

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
        update_data: Callable[[Any], Any],
    ) -> None:
        self._target = target
        self._fields = fields
        self._verb = verb
        self._plan = plan
        self._keys = keys
        self._writer = writer
        self._update_data = update_data
        self._table = plan.table
        self._connection = connections[target.using]
        self._pk = target.model._meta.pk.attname
        #: Whether rows are written without asking what the database finds out itself.
        self._is_hopeful = True
        self._in_order = plan.table.has_hidden_conflicts(
            {frozenset(fields.columns), *plan.checks.covers()}, plan.sources
        )
        #: Whether there are blocks that can be written here at all.
        self.is_possible = (
            plan.new.is_columnar
            and all(map(plan.table.attname, plan.sources))
            and not references.are_unknown
            and target.check_new is None
            and (not verb.matches or self._can_match(target, fields, plan))
        )

    def _can_match(self, target: Target, fields: UniqueFields, plan: Plan) -> bool:
        return (
            plan.stored.is_columnar
            and target.check_object is None
            and all(cols.compares_exactly(c, self._connection) for c in fields.columns)
            and can_lock_values(target.world)
        )

    @functools.cached_property
    def _facts(self) -> Facts:
        return facts_of(self._target.model, self._target.using)

    def run(
        self,
        block: Block,
        data: Sequence[Any],
        *,
        wants_pks: bool = True,
        wants_columns: Sequence[str] = (),
    ) -> Outcomes | None:
        """The outcomes of the block, whose rows give `data` to the serializer; None
        where Batch must tell. Of rows that are created, no primary keys unless
        `wants_pks`; they tell what `wants_columns` hold where that is known."""

        def attempt() -> Outcomes:
            return _Run(
                self, block, data, wants_pks=wants_pks, wants_columns=wants_columns
            ).outcomes()

        try:
            found = self._run_ready(block, data, wants_pks, wants_columns)

            if found is not None:
                return found

            try:
                return attempt()
            except _RefusedError:
                # Who is refused has many like him.
                self._is_hopeful = False

                return attempt()
        except _NotTogetherError:
            return None
        except REFUSALS as error:
            if refusal(error) is None:
                raise

            return None

    def make_ready(self, rows: Columnar) -> None:
        """Do as much of `run` for these rows as needs no database, in any thread."""
        if not self._verb.matches and self._is_hopeful:
            rows.ready = made_ready(
                rows, self._plan, self._writer, may_leave=self._knows_that_it_may_leave
            )

    def _knows_that_it_may_leave(self, check: Check) -> bool:
        return "_facts" in vars(self) and self.may_leave(check)

    def may_leave(self, check: Check) -> bool:
        """Whether the database refuses new rows that have what the check is for."""
        return (
            self._is_hopeful
            and check.queryset.model._meta.db_table == self._target.model._meta.db_table
            and self._facts.refuses_twins(check.columns)
        )

    def _run_ready(
        self,
        block: Block,
        data: Sequence[Any],
        wants_pks: bool,
        wants_columns: Sequence[str],
    ) -> Outcomes | None:
        """The outcomes of a block that was made ready; None where it was not, and where
        the database refuses it: then nothing was written."""
        ready = data.ready if isinstance(data, Columnar) else None

        if (
            ready is None
            or block.errors
            or not self._is_hopeful
            or not self._plan.relations.holds(ready.known)
        ):
            return None

        run = _Run(self, block, data, wants_pks=wants_pks, wants_columns=wants_columns)

        try:
            return run.inserted(ready.columns)
        except _NotTogetherError:
            return None
        except REFUSALS as error:
            reason = refusal(error)

            if reason is None:
                raise

            self._is_hopeful = reason is not NOT_UNIQUE

            return None


class _Run:
    """One block on its way."""

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
        self._plan = of._plan
        self._table = of._table
        self._block = block
        self._data = data
        self._wants_pks = wants_pks
        self._wants_columns = wants_columns
        #: Whether rows are to be written that were not asked about.
        self._hopes = False
        self._failed: dict[int, tuple[RowError, ...]] = dict(block.errors)
        self._keys: list[Key | None] = []
        self._instances: dict[int, Any] = {}
        self._stored_at: dict[int, Sequence[Any]] = {}
        #: Rows whose key came before: they change what is written, not what is stored.
        self._repeats = Repeats({})

    def outcomes(self) -> Outcomes:
        plan = self._plan
        plan.prime(self._data)

        with plan.watch.watching():
            if self._of._verb.matches:
                self._read_keys()
                self._match()

            groups = self._groups()

            if (len(groups) > 1 or self._repeats) and self._of._in_order:
                raise _NotTogetherError

            judged = self._judged(groups)

        kinds: list[Any] = [Kind.FAILED] * len(self._data)
        pks: list[Any] = [None] * len(self._data)

        with self._hoping(), transaction.atomic(using=self._of._target.using):
            written = [self._write(rows) for rows in judged]

        for rows, one in zip(judged, written, strict=True):
            if len(rows.places) == len(kinds):
                return self._settled(*one)

            for place, kind, pk in zip(rows.places, one.kinds, one.pks, strict=True):
                kinds[place], pks[place] = kind, pk

        self._tell_repeats(kinds, pks)

        return self._settled(kinds, pks, self._merged(judged, written))

    def inserted(self, columns: Mapping[str, Sequence[Any]]) -> Outcomes:
        """The outcomes of new rows that are known to need nobody's look."""
        with transaction.atomic(using=self._of._target.using):
            written = self._insert(columns, range(len(self._data)))

        return self._settled(*written)

    @contextlib.contextmanager
    def _hoping(self) -> Iterator[None]:
        """Tells a refusal of rows that were not asked about from others."""
        try:
            yield
        except (_NotTogetherError, *REFUSALS) as error:
            is_about_twins = (
                isinstance(error, _NotTogetherError) or refusal(error) is NOT_UNIQUE
            )

            if not self._hopes or not is_about_twins:
                raise

            raise _RefusedError from error

    def _merged(
        self, judged: Sequence[_Rows], written: Sequence[_Written]
    ) -> dict[str, Sequence[Any]]:
        """What all rows hold, in their order."""
        merged: dict[str, Sequence[Any]] = {}

        for name in self._wants_columns:
            if self._failed or not all(name in one.stored for one in written):
                continue

            cells: list[Any] = [None] * len(self._data)

            for rows, one in zip(judged, written, strict=True):
                for place, cell in zip(rows.places, one.stored[name], strict=True):
                    cells[place] = cell

            for place, head in self._repeats.head_of.items():
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
            for place, errors in self._failed.items()
        }

        return Outcomes(block.first, kinds, pks, failed, block.lines, stored)

    def _read_keys(self) -> None:
        of = self._of
        known = of._keys.known(self._plan, self._data)

        for place, key in enumerate(known) if None in known else ():
            if key is None and place not in self._failed:
                known[place], errors = of._keys.read(self._data[place])

                if errors:
                    self._failed[place] = errors

        if self._plan.watch.hit:
            raise _NotTogetherError

        self._keys = known

    def _match(self) -> None:
        """Find and lock the rows that have the keys."""
        of = self._of
        keys = self._keys

        for place in self._failed:
            keys[place] = None

        wanted = {key for key in keys if key is not None}

        if len(wanted) < len(keys) - keys.count(None):
            self._part_repeats()

        reader = locked_values(self._stored_names())
        finder = Finder(of._target.world, of._fields.columns, reader)

        with self._plan.watch.looking_away():
            found = finder.find(wanted).rows

        must_exist = of._fields.is_assigned or not of._verb.creates

        for place, key in enumerate(keys):
            rows = found.get(key) if key is not None else ()

            if rows:
                self._stored_at[place] = rows[0]
            elif must_exist and key is not None:
                self._failed[place] = (of._keys.not_found(key),)

        for place, head in self._repeats.head_of.items():
            if head in self._failed:
                self._failed[place] = self._failed[head]

    def _part_repeats(self) -> None:
        if any(None in key for key in self._keys if key is not None):
            raise _NotTogetherError

        self._repeats = Repeats(later_rows(self._keys))

        if not self._repeats.are_plain(self._plan.stored, self._table):
            raise _NotTogetherError

        # By its first row alone is a key looked for, and written.
        for place in self._repeats.head_of:
            self._keys[place] = None

        self._wants_pks = True

    def _tell_repeats(self, kinds: list[Any], pks: list[Any]) -> None:
        """What became of later rows, and of stored ones by their first."""
        repeats = self._repeats
        is_touched = bool(repeats) and bool(self._table.touched(1))

        for place, head in repeats.head_of.items():
            if head in self._failed:
                continue

            pks[place] = pks[head]

            for each in (place, head):
                if kinds[each] is not Kind.CREATED:
                    is_changed = is_touched or each in repeats.changed
                    kinds[each] = Kind.UPDATED if is_changed else Kind.UNCHANGED

    def _stored_names(self) -> list[str]:
        shape = self._plan.stored.shape
        assert shape is not None  # for mypy: it is columnar
        names = [self._table.attname(field.source) for field in shape.fields]

        return [
            *dict.fromkeys((self._of._pk, *filter(None, names), *self._wants_columns))
        ]

    def _groups(self) -> list[_Rows]:
        left_out = self._failed.keys() | self._repeats.head_of.keys()
        places = [p for p in range(len(self._data)) if p not in left_out]
        groups = []
        new = [place for place in places if place not in self._stored_at]
        stored = [place for place in places if place in self._stored_at]

        if new:
            groups.append(_Rows(self._plan.new, new, None))

        if stored:
            groups.append(_Rows(self._plan.stored, stored, self._held(stored)))

        return groups

    def _held(self, places: Sequence[int]) -> dict[str, Sequence[Any]]:
        """What the stored rows of these places hold, by column."""
        found = [self._stored_at[place] for place in places]

        return {
            name: [*map(itemgetter(index), found)]
            for index, name in enumerate(self._stored_names())
        }

    def _judged(self, groups: list[_Rows]) -> list[_Rows]:
        """The rows of each group that are to be written, among them those that were
        judged by themselves and are valid."""
        plain: list[_Rows] = []
        asked: list[_Asked] = []
        odd: list[int] = []

        for rows in groups:
            some, keys = _plain(rows)
            odd += sorted(set(rows.places).difference(some.places))
            plain.append(some)
            asked += [_Asked(some, check, of_check) for check, of_check in keys]

        # Many of them are judged no faster here.
        if len(odd) > len(self._data) // 2:
            raise _NotTogetherError

        # Of a row that is refused, all is told that is wrong with it.
        if not odd:
            asked = [one for one in asked if not self._leaves_to_database(one)]

        verdicts, questions = self._look(odd)
        twins = self._load(asked, questions)
        refused = self._refused(asked)
        again = self._answered(questions)

        if (refused or twins) and self._hopes:
            raise _RefusedError

        if twins:
            self._judge_in_order({*twins, *again, *refused}, asked, questions, verdicts)
        else:
            verdicts |= {place: self._judge(place) for place in [*again, *refused]}

        if self._plan.watch.hit or not self._repeats.heads.isdisjoint(verdicts):
            raise _NotTogetherError

        records = self._records(verdicts)

        if not refused.isdisjoint(records):
            raise _NotTogetherError

        return [
            rows._replace(
                places=[
                    place
                    for place in rows.places
                    if place in records or place not in verdicts
                ],
                records=records,
            )
            for rows in groups
        ]

    def _judge_in_order(
        self,
        places: set[int],
        asked: Sequence[_Asked],
        questions: Mapping[int, Sequence[Question]],
        verdicts: dict[int, Verdict],
    ) -> None:
        """Add the verdicts on rows that want what others have, or what others of them
        want: the first one that is valid gets it."""
        wants: dict[int, list[tuple[Check, Any]]] = {place: [] for place in places}

        for one in asked:
            for place, key in zip(one.rows.places, one.keys, strict=True):
                if place in wants and key is not None:
                    wants[place].append((one.check, key))

        for place in sorted(places):
            own = self._stored_at.get(place, (None,))[0]
            known = questions.get(place, ())
            wanted = [*wants[place], *((q.check, q.key) for q in known)]

            if any(
                key in check.unknown
                or any(pk != own for pk in check.holders.get(key, ()))
                for check, key in wanted
            ):
                verdicts[place] = self._judge(place)

            if place not in verdicts or verdicts[place].is_valid:
                for check, key in wanted:
                    check.holders[key] = [*check.holders.get(key, ()), _PENDING]

    def _leaves_to_database(self, asked: _Asked) -> bool:
        """Whether the database finds out whether rows may have what they want. They are
        inserted before anything else is written, so that it says what the validators
        would."""
        keys = asked.keys
        leaves = (
            asked.rows.stored is None
            and self._of.may_leave(asked.check)
            # Those of one block are found sooner here.
            and len({*keys} - {None}) == len(keys) - keys.count(None)
        )
        self._hopes = self._hopes or leaves

        return leaves

    def _look(
        self, odd: Sequence[int]
    ) -> tuple[dict[int, Verdict], dict[int, list[Question]]]:
        """At rows by themselves, supposing that every key is free."""
        checks = self._plan.checks
        checks.ask()
        self._load_instances([place for place in odd if place in self._stored_at])
        verdicts: dict[int, Verdict] = {}
        questions: dict[int, list[Question]] = {}

        for place in odd:
            checks.questions = questions[place] = []
            verdicts[place] = self._judge(place)

        return verdicts, questions

    def _load_instances(self, places: Sequence[int]) -> None:
        if not places:
            return

        pks = {place: self._stored_at[place][0] for place in places}

        with self._plan.watch.looking_away():
            found = self._of._target.world.in_bulk({*pks.values()})
            self._plan.fetch_compared([*found.values()])

        self._instances |= {place: found[pk] for place, pk in pks.items()}

    def _judge(self, place: int) -> Verdict:
        data = self._data[place]

        if place not in self._stored_at:
            return self._plan.new.judge(Candidate(place, data))

        if place not in self._instances:
            self._load_instances([place])

        data = self._of._update_data(data)
        candidate = Candidate(place, data, self._instances[place])

        return self._plan.stored.judge(candidate)

    def _load(
        self, asked: Sequence[_Asked], questions: Mapping[int, Sequence[Question]]
    ) -> set[int]:
        """Find out who has what was asked for; the rows of which two want the same."""
        wanted: dict[Check, set[Any]] = {}
        told: dict[frozenset[Column], list[Any]] = {}
        orders: dict[frozenset[Column], Any] = {}

        for check, keys in (
            *((one.check, one.keys) for one in asked),
            *((q.check, [q.key]) for some in questions.values() for q in some),
        ):
            some = keys if None not in keys else [k for k in keys if k is not None]
            wanted.setdefault(check, set()).update(some)
            told.setdefault(check.columns, []).extend(check.told_all(some))

            if orders.setdefault(check.columns, check.ordered) != check.ordered:
                raise _NotTogetherError

        twins: set[int] = set()

        if any(len({*keys}) < len(keys) for keys in told.values()):
            twins = _twins(asked, questions)

        with self._plan.watch.looking_away():
            self._plan.checks.load(wanted)

        return twins

    def _refused(self, asked: Sequence[_Asked]) -> set[int]:
        """The rows of which the validators themselves must tell: somebody may have what
        they want."""
        refused: set[int] = set()
        changing = {values[0] for values in self._stored_at.values()}

        for rows, check, keys in asked:
            if not check.holders and not check.unknown:
                continue

            for place, key in zip(rows.places, keys, strict=True):
                own = self._stored_at.get(place, (None,))[0]
                others = [pk for pk in check.holders.get(key, ()) if pk != own]

                # Of a row of this block, that may give it up.
                if not changing.isdisjoint(others):
                    raise _NotTogetherError

                if others or key in check.unknown:
                    refused.add(place)

        return refused

    def _answered(self, questions: Mapping[int, Sequence[Question]]) -> list[int]:
        """The rows that asked for what somebody has, or may have."""
        changing = {values[0] for values in self._stored_at.values()}

        if any(
            not changing.isdisjoint(question.holders())
            for some in questions.values()
            for question in some
        ):
            # A row of this block, that may give it up.
            raise _NotTogetherError

        return [p for p, some in questions.items() if any(map(_is_answered, some))]

    def _records(self, verdicts: Mapping[int, Verdict]) -> dict[int, dict[str, Any]]:
        """What valid ones are to hold; the others have failed."""
        records: dict[int, dict[str, Any]] = {}

        for place, verdict in verdicts.items():
            if verdict.is_valid:
                record = self._table.record(verdict.values or {})

                if record is None:
                    raise _NotTogetherError

                records[place] = record

                continue

            is_new = self._keys and place not in self._stored_at

            if is_new and any(error.code == "unique" for error in verdict.errors):
                # Somebody may have stored its key in the meantime.
                raise _NotTogetherError

            self._failed[place] = verdict.errors

        return records

    def _write(self, rows: _Rows) -> _Written:
        if not rows.places:
            return _Written([], [], dict.fromkeys(self._wants_columns, ()))

        columns = self._columns(rows)

        if self._repeats:
            columns = self._folded(columns, rows.places)

        if rows.stored is None:
            return self._insert(columns, rows.places)

        return self._update(columns, rows)

    def _folded(
        self, columns: dict[str, Sequence[Any]], places: Sequence[int]
    ) -> dict[str, Sequence[Any]]:
        """As the last rows of each key leave them."""
        of, names = self._of, self._stored_names()
        stored = {
            place: dict(zip(names, self._stored_at[place], strict=False))
            for place in self._repeats.heads
            if place in self._stored_at
        }
        folded = self._repeats.folded(
            places,
            columns,
            stored,
            self._table,
            lambda name, cells: mirrored(
                self._table.by_name[name], cells, of._facts, of._target.using
            ),
        )

        if folded is None:
            raise _NotTogetherError

        return folded

    def _columns(self, rows: _Rows) -> dict[str, Sequence[Any]]:
        plain = [place for place in rows.places if place not in rows.records]
        columns = rows.judge.columns(self._table, plain)

        if columns is None:
            raise _NotTogetherError

        if len(plain) == len(rows.places):
            return columns

        if any(not record.keys() <= columns.keys() for record in rows.records.values()):
            raise _NotTogetherError

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

    def _insert(
        self, columns: Mapping[str, Sequence[Any]], places: Sequence[int]
    ) -> _Written:
        completed = self._table.completed(columns, len(places))

        if not completed:
            raise _NotTogetherError

        shown = self._mirrored(completed)
        key = self._of._fields.columns
        order: Sequence[int] = range(len(places))

        if key:
            if any(self._keys[place] is None for place in places):
                raise _NotTogetherError

            columns_in_order = ordering_set(self._of._target.model, completed) or key
            order = (
                insert_order(columns_in_order, completed, self._of._target.using)
                if columns_in_order != key
                else sorted_keys([self._keys[place] for place in places])
            )
            pick = itemgetter(*order) if len(order) > 1 else tuple
            completed = {name: pick(cells) for name, cells in completed.items()}

            if self._of._fields.nulls_match and any(
                None in (self._keys[place] or ()) for place in places
            ):
                # By such a key, no writer tells which rows came back.
                key = ()

        pks = self._of._writer.insert_columns(
            [self._table.by_name[name] for name in completed],
            [*completed.values()],
            key,
            wants_pks=self._wants_pks,
        )

        if MISSING in pks:
            raise _NotTogetherError

        kinds = [Kind.CREATED] * len(places)

        if self._of._fields.columns:
            given: list[Any] = [None] * len(places)

            for index, pk in zip(order, pks, strict=True):
                given[index] = pk

            pks = given

        return _Written(kinds, pks, {**shown, self._of._pk: pks})

    def _mirrored(
        self, columns: Mapping[str, Sequence[Any]]
    ) -> dict[str, Sequence[Any]]:
        """What the wanted ones of these columns show of what they are given."""
        of, shown = self._of, {}

        for name in self._wants_columns:
            if name in columns:
                column = self._table.by_name[name]
                cells = mirrored(column, columns[name], of._facts, of._target.using)

                if cells is not None:
                    shown[name] = cells

        return shown

    def _update(self, columns: dict[str, Sequence[Any]], rows: _Rows) -> _Written:
        places = rows.places
        stored = rows.stored or {}
        pks = stored[self._of._pk]

        # Some of them have failed.
        if len(pks) > len(places):
            stored = self._held(places)
            pks = stored[self._of._pk]

        matched = {column.attname for column in self._of._fields.columns}
        given = {
            name: self._filled(cells, stored[name])
            for name, cells in columns.items()
            if {*map(type, cells)} != {Absent}
        }
        changes = {
            # What a row was found by is what it has.
            name: self._table.changed(name, stored[name], cells)
            if name not in matched
            else []
            for name, cells in given.items()
        }

        if changes.get(self._of._pk):
            raise _NotTogetherError

        touched = self._table.touched(len(places))
        changed = (
            range(len(places))
            if touched
            else sorted({index for some in changes.values() for index in some})
        )
        written = {n: cells for n, cells in given.items() if changes[n]} | touched

        if changed:
            self._of._writer.update_columns(
                [self._table.by_name[name] for name in written],
                _picked(pks, changed),
                [_picked(cells, changed) for cells in written.values()],
            )

        kinds = [Kind.UNCHANGED] * len(places)

        for index in changed:
            kinds[index] = Kind.UPDATED

        return _Written(kinds, [*pks], self._updated(stored, written, changed))

    def _updated(
        self,
        stored: Mapping[str, Sequence[Any]],
        written: Mapping[str, Sequence[Any]],
        changed: Sequence[int],
    ) -> dict[str, Sequence[Any]]:
        """What the wanted columns show of rows of which some were changed."""
        shown: dict[str, Sequence[Any]] = {}
        given = self._mirrored(
            {name: _picked(cells, changed) for name, cells in written.items()}
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
                and name in self._table.by_name
                and self._of._facts.is_plain
            ):
                shown[name] = stored[name]

        return shown

    def _filled(self, cells: Sequence[Any], stored: Sequence[Any]) -> Sequence[Any]:
        """Rows that do not say keep what they have: they are locked."""
        if Absent not in {*map(type, cells)}:
            return cells

        if not {*map(type, stored)} <= COMPARABLE_OR_MOMENT:
            raise _NotTogetherError

        return [
            old if new is ABSENT else new
            for new, old in zip(cells, stored, strict=True)
        ]


def _plain(rows: _Rows) -> tuple[_Rows, list[tuple[Any, list[Any]]]]:
    """The rows that need no look at each, and what they ask for, by check."""
    odd = rows.judge.odd()
    some = rows._replace(places=[*rows.places])

    if odd:
        some = _without(rows, odd)

    lacking, asked = rows.judge.asked(some.places, some.stored)

    if lacking:
        some = _without(some, {some.places[index] for index in lacking})
        asked = rows.judge.asked(some.places, some.stored)[1]

    return some, asked


def _without(rows: _Rows, places: set[int]) -> _Rows:
    keep = [index for index, place in enumerate(rows.places) if place not in places]
    stored = rows.stored

    return rows._replace(
        places=_picked(rows.places, keep),
        stored=stored
        and {name: _picked(cells, keep) for name, cells in stored.items()},
    )


def _picked(cells: Sequence[Any], indexes: Sequence[int]) -> list[Any]:
    if len(indexes) == len(cells):
        return [*cells]

    return [cells[index] for index in indexes]


def _twins(
    asked: Sequence[_Asked], questions: Mapping[int, Sequence[Question]]
) -> set[int]:
    """The rows of which two want the same of one validator."""
    wanting: dict[Any, list[tuple[int, Check, Any]]] = {}
    every = [
        *(
            (place, one.check, key)
            for one in asked
            for place, key in zip(one.rows.places, one.keys, strict=True)
            if key is not None
        ),
        *((p, q.check, q.key) for p, some in questions.items() for q in some),
    ]

    for place, check, key in every:
        told = check.columns, check.told(key)
        wanting.setdefault(told, []).append((place, check, key))

    twins: set[int] = set()

    for some in wanting.values():
        if len(some) > 1:
            # Only the database knows whether two spellings are one.
            if any(each[1:] != some[0][1:] for each in some):
                raise _NotTogetherError

            twins.update(place for place, *_ in some)

    return twins


def _is_answered(question: Question) -> bool:
    return question.is_unknown or bool(question.holders())
