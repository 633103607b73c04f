"""Rows of which none needs a look at each: a block of them, column by column.

The outcome is `Batch`'s, which is that of one by one. Rows that are not plain are
judged by themselves; those that are refused are left out. Whatever makes the outcome of
one row depend on what another writes, or that a database refuses, is for `Batch`: then
nothing has been written here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.db import connections

from django_partstream.bulk import columns as cols
from django_partstream.bulk.columnar import Columnar
from django_partstream.bulk.facts import facts_of
from django_partstream.bulk.matching import can_lock_values
from django_partstream.bulk.ready import made_ready
from django_partstream.bulk.refusals import NOT_UNIQUE, REFUSALS, refusal

from .rows import NotTogetherError, RefusedError
from .run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_partstream.bulk.block import Block
    from django_partstream.bulk.entry import Target
    from django_partstream.bulk.facts import Facts
    from django_partstream.bulk.keys import KeyReader, UniqueFields
    from django_partstream.bulk.outcomes import Outcomes
    from django_partstream.bulk.plan import Plan
    from django_partstream.bulk.questions import Check
    from django_partstream.bulk.references import References
    from django_partstream.bulk.verb import Verb
    from django_partstream.bulk.writers import Writer

__all__ = ("Together",)


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
        self.target = target
        self.fields = fields
        self.verb = verb
        self.plan = plan
        self.keys = keys
        self.writer = writer
        self.update_data = update_data
        self.table = plan.table
        self._connection = connections[target.using]
        self.pk = target.model._meta.pk.attname
        #: Whether rows are written without asking what the database finds out itself.
        self.is_hopeful = True
        self.in_order = plan.table.has_hidden_conflicts(
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
    def facts(self) -> Facts:
        return facts_of(self.target.model, self.target.using)

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
            return Run(
                self, block, data, wants_pks=wants_pks, wants_columns=wants_columns
            ).outcomes()

        try:
            found = self._run_ready(block, data, wants_pks, wants_columns)

            if found is not None:
                return found

            try:
                return attempt()
            except RefusedError:
                # Who is refused has many like him.
                self.is_hopeful = False

                return attempt()
        except NotTogetherError:
            return None
        except REFUSALS as error:
            if refusal(error) is None:
                raise

            return None

    def make_ready(self, rows: Columnar) -> None:
        """Do as much of `run` for these rows as needs no database, in any thread."""
        if not self.verb.matches and self.is_hopeful:
            rows.ready = made_ready(
                rows, self.plan, self.writer, may_leave=self._knows_that_it_may_leave
            )

    def _knows_that_it_may_leave(self, check: Check) -> bool:
        return "facts" in vars(self) and self.may_leave(check)

    def may_leave(self, check: Check) -> bool:
        """Whether the database refuses new rows that have what the check is for."""
        return (
            self.is_hopeful
            and check.queryset.model._meta.db_table == self.target.model._meta.db_table
            and self.facts.refuses_twins(check.columns)
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
            or not self.is_hopeful
            or not self.plan.relations.holds(ready.known)
        ):
            return None

        run = Run(self, block, data, wants_pks=wants_pks, wants_columns=wants_columns)

        try:
            return run.inserted(ready.columns)
        except NotTogetherError:
            return None
        except REFUSALS as error:
            reason = refusal(error)

            if reason is None:
                raise

            self.is_hopeful = reason is not NOT_UNIQUE

            return None

    def stored_names(self, wants_columns: Sequence[str]) -> list[str]:
        """The columns that are read of stored rows, the primary key first."""
        shape = self.plan.stored.shape

        if shape is None:
            return [self.pk]

        names = [self.table.attname(field.source) for field in shape.fields]

        return [*dict.fromkeys((self.pk, *filter(None, names), *wants_columns))]
