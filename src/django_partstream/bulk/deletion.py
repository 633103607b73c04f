"""Rows in, stored rows gone: as DRF's `destroy` would, one after the other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction
from django.db.models.deletion import Collector, ProtectedError, RestrictedError
from django.db.models.sql import DeleteQuery
from django.db.transaction import TransactionManagementError

from . import keys
from .among import among
from .arrays import binary_cursor, bound, has_binary
from .block import Block
from .cells import Cells
from .effects import deleting_reason
from .entry import DENIALS, Entry, denied
from .locking import lock_rows, locks_in_order
from .matching import Finder, can_lock_values, locked_instances, locked_values
from .outcome import Kind, Outcome, RowError
from .outcomes import Outcomes
from .pipeline import Mode, csv_columns, tell
from .refusals import REFUSALS, refusal
from .related import Relations
from .verb import Verb
from .watch import TableWatch
from .writers import writer_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from .entry import Target
    from .matching import Key
    from .row import Row

__all__ = ("Delete",)

logger = logging.getLogger(__name__)

PROTECTED = RowError(
    "", "protected", "This object is referred to by others, so it cannot be deleted."
)


class Delete:
    """Deletes the rows of the target's queryset that have these keys.

    A row of the input is a primary key, or an object that has one; or, with
    `unique_fields` or without a primary key in it, an object whose members are one of
    the model's unique sets. Who has no such row, or had one that an earlier row has
    deleted, is not found.

    Raises UniqueFieldsError, which lists what is possible.
    """

    verb = Verb.DELETE
    wants_pks = True
    wants_columns: Sequence[str] = ()

    def __init__(self, target: Target, *, unique_fields: Sequence[str] = ()) -> None:
        serializer = target.get_serializer(data={})
        self._target = target
        self._primary = keys.primary_key(serializer, target.model)
        self._allowed = {
            frozenset(names): names
            for names in keys.allowed_names(serializer, target.model)
        }
        self._given = (
            keys.unique_fields(serializer, target.model, unique_fields)
            if unique_fields
            else None
        )
        self._columns = csv_columns(serializer)[0]
        self._cells = Cells(serializer, target.null_values) if target.text else None
        self._readers: dict[tuple[str, ...], keys.KeyReader] = {}
        hooks = {"perform_destroy": target.perform_destroy}
        reason = deleting_reason(target.model, hooks, target.side_effects)
        #: Whether rows are deleted together or one by one.
        self.mode: Mode = "batch" if reason is None else "rows"
        self.reason = reason or "nothing needs to be called for every single row"

    def csv_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that a file may have, and those that it must have."""
        names = (self._given or self._primary).names

        return tuple(dict.fromkeys((*self._columns, *names))), names

    def lock(self, blocks: Iterable[Sequence[Row]]) -> None:
        """Lock the stored rows of all these before any of them is deleted, as
        `locking` says."""
        if not locks_in_order(self._target.using):
            return

        wanted: dict[keys.UniqueFields, set[Key]] = {}

        for block in map(Block.of, blocks):
            plain = self._plain_keys(block.values)

            if plain is not None:
                wanted.setdefault(self._primary, set()).update(plain)
                continue

            for entry in (Entry(row, self._data(row), 0) for row in block):
                fields = self._read_key(entry)

                if fields is not None and entry.key is not None:
                    wanted.setdefault(fields, set()).add(entry.key)

        for fields, found in wanted.items():
            lock_rows(self._target.world, fields.columns, found)

    def read_ahead(self, rows: Sequence[Row]) -> None:
        """Nothing: keys are looked up at once."""

    def begin(self) -> None:
        pass

    def run(self, rows: Sequence[Row]) -> Outcomes:
        """One outcome for each row, in order; see `Write.run`."""
        using = self._target.using

        if not connections[using].in_atomic_block:
            raise TransactionManagementError(
                "Delete.run() must be called inside "
                f"transaction.atomic(using={using!r})."
            )

        writer_for(self._target.model, using).prepare()
        outcomes = self._together(Block.of(rows))

        if outcomes is not None:
            tell(self._target, outcomes)

            return outcomes

        entries = [Entry(r, self._data(r), i) for i, r in enumerate(rows)]
        groups = [self._read_key(entry) for entry in entries]

        for fields in dict.fromkeys(group for group in groups if group is not None):
            pairs = zip(entries, groups, strict=True)
            self._match([e for e, group in pairs if group == fields], fields)

        self._permit(entries)
        self._delete([entry for entry in entries if entry.outcome is None])
        outcomes = Outcomes.of(e.outcome for e in entries if e.outcome is not None)
        assert len(outcomes) == len(entries)
        tell(self._target, outcomes)

        return outcomes

    def _together(self, block: Block) -> Outcomes | None:
        """The outcomes of rows that are nothing but different primary keys, none of
        which is refused; else None, and nothing has been deleted."""
        (column,) = self._primary.columns
        world = self._target.world
        given = self._plain_keys(block.values)

        if (
            given is None
            or self.mode == "rows"
            or self._target.check_object is not None
            or not can_lock_values(world)
        ):
            return None

        finder = Finder(world, (column,), locked_values([column.attname]))
        found = finder.find(given).rows
        manager = self._target.model._base_manager.using(self._target.using)
        condition = among((column,), [*found], connections[self._target.using])

        try:
            with transaction.atomic(using=self._target.using):
                if found:
                    _delete(manager.filter(condition))
        except (ProtectedError, RestrictedError, *REFUSALS) as error:
            if isinstance(error, REFUSALS) and refusal(error) is None:
                raise

            return None

        failed = {
            place: Outcome(
                row=block.first + place,
                line=block.lines[place] if block.lines is not None else None,
                kind=Kind.FAILED,
                errors=(self._reader(self._primary).not_found(key),),
                data=block.values[place],
            )
            for place, key in (enumerate(given) if len(found) < len(given) else ())
            if key not in found
        }
        kinds = [Kind.DELETED] * len(given)
        pks: list[Any] = [pk for (pk,) in given]

        for place in failed:
            kinds[place], pks[place] = Kind.FAILED, None

        return Outcomes(block.first, kinds, pks, failed, block.lines)

    def _plain_keys(self, values: Sequence[Any]) -> list[Key] | None:
        (name,), (column,) = self._primary.names, self._primary.columns

        if self._given or type(column) not in keys.STOCK_KEYS or not values:
            return None

        if {*map(type, values)} == {dict}:
            if any(len(value) != 1 for value in values):
                return None

            values = [value.get(name) for value in values]

        if {*map(type, values)} != {int} or len({*values}) < len(values):
            return None

        return [(value,) for value in values]

    def _data(self, row: Row) -> Any:
        if isinstance(row.data, dict):
            return self._cells.data(row.data) if self._cells else row.data

        if isinstance(row.data, int | str) and not self._given:
            return {self._primary.names[0]: row.data}

        return row.data

    def _read_key(self, entry: Entry) -> keys.UniqueFields | None:
        if not isinstance(entry.data, dict):
            entry.fail(*entry.row.errors)

            return None

        fields = self._fields_of(entry.data)
        entry.key, errors = self._reader(fields).read(entry.data)

        if errors:
            entry.fail(*errors)

        return None if errors else fields

    def _fields_of(self, data: dict[str, Any]) -> keys.UniqueFields:
        if self._given is not None:
            return self._given

        names = self._allowed.get(frozenset(data))

        if names is None or self._primary.names[0] in data:
            return self._primary

        serializer = self._target.get_serializer(data={})

        return keys.unique_fields(serializer, self._target.model, names)

    def _reader(self, fields: keys.UniqueFields) -> keys.KeyReader:
        if fields.names not in self._readers:
            self._readers[fields.names] = keys.KeyReader(
                self._target.get_serializer(data={}),
                Relations(TableWatch(self._target.model, self._target.using)),
                fields,
                required=True,
            )

        return self._readers[fields.names]

    def _match(self, entries: Sequence[Entry], fields: keys.UniqueFields) -> None:
        finder = Finder(self._target.world, fields.columns, locked_instances)
        found = finder.find([e.key for e in entries if e.key is not None]).rows

        for entry in entries:
            assert entry.key is not None  # for mypy: a reader that requires gives one
            rows = found.get(entry.key)

            if rows:
                entry.instance = rows[0]
            else:
                entry.fail(self._reader(fields).not_found(entry.key))

    def _permit(self, entries: Sequence[Entry]) -> None:
        check = self._target.check_object

        if check is None:
            return

        for entry in entries:
            if entry.instance is None:
                continue

            try:
                check(entry.instance)
            except DENIALS as denial:
                entry.fail(denied(denial))

    def _delete(self, entries: Sequence[Entry]) -> None:
        """Each stored row once; who asks for it again has come too late."""
        first: dict[Any, Entry] = {}

        for entry in entries:
            first.setdefault(entry.stored.pk, entry)

        once = list(first.values())
        late = [entry for entry in entries if first[entry.stored.pk] is not entry]
        winners = {id(entry): first[entry.stored.pk] for entry in late}

        for some in [once] if self.mode == "batch" else [[entry] for entry in once]:
            self._attempt(some)

        for entry in late:
            winner = winners[id(entry)].outcome
            assert winner is not None  # for mypy: it was attempted

            if winner.kind is Kind.DELETED:
                self._fail_gone(entry)
            else:
                entry.fail(*winner.errors)

    def _attempt(self, entries: Sequence[Entry]) -> None:
        """Delete all of them, or find those that cannot be by halving."""
        if not entries:
            return

        # Before: an instance that is deleted loses its primary key.
        pks = [entry.stored.pk for entry in entries]

        try:
            with transaction.atomic(using=self._target.using):
                if self.mode == "batch":
                    self._delete_together(pks)
                else:
                    self._delete_one(entries[0])
        except DENIALS as error:
            entries[0].fail(denied(error))
        except (ProtectedError, RestrictedError) as error:
            self._refuse(entries, PROTECTED, error)
        except REFUSALS as error:
            reason = refusal(error)

            if reason is None:
                raise

            self._refuse(entries, reason, error)
        else:
            for entry, pk in zip(entries, pks, strict=True):
                if entry.outcome is None:
                    entry.settle(Kind.DELETED, pk)

    def _refuse(
        self, entries: Sequence[Entry], reason: RowError, error: BaseException
    ) -> None:
        if len(entries) == 1:
            logger.info("Row %s was not deleted: %r", entries[0].row.number, error)
            entries[0].fail(reason)

            return

        half = len(entries) // 2
        self._attempt(entries[:half])
        self._attempt(entries[half:])

    def _delete_together(self, pks: list[Any]) -> None:
        manager = self._target.model._base_manager.using(self._target.using)
        _delete(manager.filter(pk__in=pks))

    def _delete_one(self, entry: Entry) -> None:
        """As DRF's view does; the row may have gone with an earlier one's."""
        manager = self._target.model._base_manager.using(self._target.using)

        if not manager.filter(pk=entry.stored.pk).exists():
            self._fail_gone(entry)
        elif self._target.perform_destroy is not None:
            self._target.perform_destroy(entry.stored)
        else:
            entry.stored.delete()

    def _fail_gone(self, entry: Entry) -> None:
        assert entry.key is not None  # for mypy: it was found by it
        names = self._fields_of(entry.data)
        entry.fail(self._reader(names).not_found(entry.key))


def _delete(queryset: QuerySet[Any]) -> None:
    """As its own `delete()`; where that is a single statement, its keys are sent in
    their binary form."""
    connection = connections[queryset.db]
    collector = Collector(using=queryset.db, origin=queryset)

    if not has_binary(connection) or not collector.can_fast_delete(queryset):
        queryset.delete()

        return

    query = queryset.query.clone()
    query.__class__ = DeleteQuery
    sql, params = query.get_compiler(queryset.db).as_sql()

    with binary_cursor(connection) as cursor:
        cursor.execute(*bound(sql, params, connection))
