"""Rows in, outcomes out.

The outcome of every operation is that of DRF row by row, in order; how rows are
written does not show in it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, router
from django.db.transaction import TransactionManagementError
from rest_framework.fields import HiddenField

from django_partstream import signals, topics
from django_partstream.errors import ColumnsError

from . import keys
from .batch import Batch
from .block import Block
from .cells import Cells
from .columnar import Columnar
from .effects import per_row_reason
from .entry import Entry, Target
from .locking import lock_rows, locks_in_order
from .one_by_one import OneByOne
from .outcome import Kind
from .outcomes import Outcomes
from .plan import Plan
from .references import References
from .related import Relations
from .together import Together
from .verb import Verb
from .watch import TableWatch
from .writers import writer_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .outcome import Outcome
    from .row import Row

__all__ = ("Mode", "Target", "Write", "csv_columns", "tell")

Mode = Literal["batch", "rows"]


def csv_columns(serializer: Serializer[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a file may have, and those that it must have."""
    fields: list[Any] = [
        field
        for field in serializer.fields.values()
        if not field.read_only and not isinstance(field, HiddenField)
    ]

    return (
        tuple(field.field_name for field in fields),
        tuple(field.field_name for field in fields if field.required),
    )


class Write:
    """Creates rows, or changes stored ones, as its verb says.

    A row of the target's queryset that has the same values in `unique_fields` (the
    primary key where none are given) is changed: validated as DRF validates a PATCH or
    a PUT, and only columns that were sent are written, of `update_fields` alone if
    given. A row without such a match is validated in full and inserted, or is not
    found; it never overwrites: a key that exists outside the queryset is that row's
    error. A key with a null part matches nothing, unless the model's constraint has
    `nulls_distinct=False`. A key that comes twice is applied twice, in order.

    Raises UniqueFieldsError and ColumnsError, which list what is possible.
    """

    def __init__(
        self,
        target: Target,
        *,
        verb: Verb = Verb.UPSERT,
        unique_fields: Sequence[str] = (),
        update_fields: Sequence[str] | None = None,
    ) -> None:
        serializer = target.get_serializer(data={})
        self._target = target
        self.verb = verb
        #: Whether the outcomes of rows that are created must have primary keys.
        self.wants_pks = True
        #: Columns that outcomes are to tell of, as far as they can without reading.
        self.wants_columns: Sequence[str] = ()
        self._fields = _fields(serializer, target.model, verb, unique_fields)
        self._serializer_columns = csv_columns(serializer)
        self._hidden = {
            name
            for name, field in serializer.fields.items()
            if isinstance(field, HiddenField)
        }
        self._update_fields = _update_fields(self._serializer_columns[0], update_fields)
        self._references = References(serializer, target.model, target.using)
        self._cells = Cells(serializer, target.null_values) if target.text else None
        reason = per_row_reason(
            serializer,
            target.model,
            _hooks(target, verb),
            target.side_effects,
            target.using,
        )
        #: Whether rows are written together or one by one.
        self.mode: Mode = "batch" if reason is None else "rows"
        #: Why, naming who asks for it.
        self.reason = reason or "nothing needs to be called for every single row"

        if reason is not None and verb.creates:
            _check_saved_here(target, reason)

    @property
    def unique_fields(self) -> tuple[str, ...]:
        return self._fields.names

    def csv_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that a file for this operation may have, and those that it must
        have: the key's among them."""
        known, required = self._serializer_columns
        names = [name for name in self._fields.names if name not in self._hidden]

        if self.verb is Verb.UPDATE:
            required = ()

        return (
            tuple(dict.fromkeys((*known, *names))),
            tuple(dict.fromkeys((*required, *names))),
        )

    def lock(self, blocks: Iterable[Sequence[Row]]) -> None:
        """Lock the stored rows of all these before any of them is run, as `locking`
        says; those apart whose key only a look at each tells."""
        if not self.verb.matches or not locks_in_order(self._target.using):
            return

        reader = self._key_reader(self._plan.relations)
        keys = {
            key
            for block in blocks
            for key in reader.told(self._plan, self._given(Block.of(block).values))
        }
        lock_rows(self._target.world, self._fields.columns, keys)

    def begin(self) -> None:
        """Say that a transaction begins. What rows refer to is then looked up once for
        all of it, not for each batch."""
        if self.mode == "batch":
            self._plan.relations.begin()

    def run(self, rows: Sequence[Row]) -> Outcomes:
        """One outcome for each row, in order.

        Must be called in a transaction on the queryset's database; what a failed row
        has done is undone. Raises what is no row's fault, such as a deadlock: then the
        transaction is to be rolled back.
        """
        using = self._target.using

        if not connections[using].in_atomic_block:
            raise TransactionManagementError(
                "Write.run() must be called inside "
                f"transaction.atomic(using={using!r})."
            )

        if not rows:
            return Outcomes.of([])

        block = Block.of(rows)
        outcomes = self._write(block, self._given(block.values))
        tell(self._target, outcomes)

        return outcomes

    def read_ahead(self, rows: Sequence[Row]) -> None:
        """Find out what can be told of these rows without the database, for `run`. In
        any thread, beside `run` for others."""
        values = rows.values if isinstance(rows, Block) else ()

        # The plan is made by whoever runs.
        if not isinstance(values, Columnar):
            return

        if self._cells is not None:
            values.said = self._said(self._cells, values)

        given = values.said or values

        if "_plan" in vars(self):
            self._plan.new.read_ahead(given)

        if "_together" in vars(self) and self._together.is_possible:
            self._together.make_ready(given)

    def _said(self, cells: Cells, values: Columnar) -> Columnar:
        # What a PATCH has no word for, it leaves alone.
        return cells.columns(values, skips_empty=self.verb is Verb.UPDATE)

    def _given(self, values: Sequence[Any]) -> Sequence[Any]:
        if isinstance(values, Columnar):
            if self._cells is None:
                return values

            return values.said or self._said(self._cells, values)

        return [self._data(value) for value in values]

    def _data(self, value: Any) -> Any:
        if self._cells is None or not isinstance(value, dict):
            return value

        if self.verb is not Verb.UPDATE:
            return self._cells.data(value)

        # What a PATCH has no word for, it leaves alone.
        return self._cells.data({name: cell for name, cell in value.items() if cell})

    def _write(self, block: Block, data: Sequence[Any]) -> Outcomes:
        target = self._target
        writer_for(target.model, target.using).prepare()

        if self.mode == "batch" and self._together.is_possible:
            outcomes = self._together.run(
                block,
                data,
                wants_pks=self.wants_pks,
                wants_columns=self.wants_columns,
            )

            if outcomes is not None:
                return outcomes

        # What sees to rows in parts locks them in parts.
        self.lock([block])
        rows = zip(block, data, strict=True)
        entries = [Entry(row, given, i) for i, (row, given) in enumerate(rows)]

        if self.mode == "batch":
            # Whoever gave up has read them before.
            self._batch.run(entries, is_primed=self._together.is_possible)
        else:
            relations = Relations(TableWatch(target.model, target.using))
            self._one_by_one(relations).run(entries)

        outcomes = Outcomes.of(e.outcome for e in entries if e.outcome is not None)
        assert len(outcomes) == len(entries)

        return outcomes

    @functools.cached_property
    def _plan(self) -> Plan:
        return Plan(
            self._target.get_serializer,
            model=self._target.model,
            using=self._target.using,
            key=self._fields.columns,
            partial=self.verb.partial,
            update_fields=self._update_fields,
        )

    @functools.cached_property
    def _together(self) -> Together:
        return Together(
            self._target,
            self._fields,
            verb=self.verb,
            plan=self._plan,
            keys=self._key_reader(self._plan.relations),
            references=self._references,
            writer=writer_for(self._target.model, self._target.using),
            update_data=self._update_data,
        )

    @functools.cached_property
    def _batch(self) -> Batch:
        plan = self._plan

        return Batch(
            self._target,
            self._fields,
            verb=self.verb,
            plan=plan,
            keys=self._key_reader(plan.relations),
            references=self._references,
            writer=writer_for(self._target.model, self._target.using),
            one_by_one=self._one_by_one(plan.relations),
            update_data=self._update_data,
        )

    def _one_by_one(self, relations: Relations) -> OneByOne:
        return OneByOne(
            self._target,
            self._fields,
            self.verb,
            self._key_reader(relations),
            self._references,
            self._update_data,
        )

    def _key_reader(self, relations: Relations) -> keys.KeyReader:
        serializer = self._target.get_serializer(data={})

        return keys.KeyReader(
            serializer,
            relations,
            self._fields,
            required=not self.verb.creates,
        )

    def _update_data(self, data: Any) -> Any:
        if self._update_fields is None or not isinstance(data, dict):
            return data

        return {
            name: value for name, value in data.items() if name in self._update_fields
        }


def tell(target: Target, outcomes: Sequence[Outcome]) -> None:
    """Say on commit what was written: Django's signals were not sent for rows that
    were written together."""
    known = Outcomes.of(outcomes)
    by_kind = {
        kind: known.of_kind(kind) for kind in (Kind.CREATED, Kind.UPDATED, Kind.DELETED)
    }

    if any(by_kind.values()):
        topics.publish_model(target.model, using=target.using)
        signals.send_bulk_written(
            target.model,
            using=target.using,
            created=by_kind[Kind.CREATED],
            updated=by_kind[Kind.UPDATED],
            deleted=by_kind[Kind.DELETED],
        )


def _check_saved_here(target: Target, reason: str) -> None:
    """A serializer does not know of the view's queryset: it asks the router."""
    saved = router.db_for_write(target.model)

    if saved != target.using:
        raise ImproperlyConfigured(
            f"Rows of {target.model.__name__} are written one by one ({reason}), and "
            f"serializer.save() would create them in {saved!r}, but the view's "
            f"queryset is of {target.using!r}. Let a database router say "
            "db_for_write, or write together."
        )


def _hooks(target: Target, verb: Verb) -> dict[str, Any]:
    """The view's own hooks, as far as rows may come to them."""
    hooks: dict[str, Any] = {}

    if verb.creates:
        hooks["perform_create"] = target.perform_create

    if verb.matches:
        hooks["perform_update"] = target.perform_update

    return hooks


def _fields(
    serializer: Serializer[Any], model: type[Model], verb: Verb, names: Sequence[str]
) -> keys.UniqueFields:
    if not verb.matches:
        return keys.NO_KEY

    if names or verb.creates:
        return keys.unique_fields(serializer, model, names)

    return keys.primary_key(serializer, model)


def _update_fields(
    known: Sequence[str], names: Sequence[str] | None
) -> frozenset[str] | None:
    if names is None:
        return None

    unknown = [name for name in names if name not in known]

    if unknown:
        listed = ", ".join(f"{name[:80]!r}" for name in unknown[:20])
        raise ColumnsError(
            f"Unknown update_fields: {listed}. Known: {', '.join(map(repr, known))}.",
            extra={
                "unknown": [name[:80] for name in unknown[:20]],
                "known": list(known),
            },
        )

    return frozenset(names)
