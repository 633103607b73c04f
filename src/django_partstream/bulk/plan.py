"""Many rows through DRF's own validation, with its look-ups answered in bulk.

Each row runs the stock `run_validation` of one serializer. Only where a field or a
validator would ask the database is it given the answers of a query made for the whole
batch; what such a query cannot answer falls through to the stock one. So values,
errors and codes are DRF's, whatever its version, and the queries of a batch are few
and constant.

Rows of a batch are judged before any of them is written. One whose judgement could
depend on what an earlier row of the batch writes is not judged at all: the batch ends
before it. That makes the outcome the one of row by row, without a picture of the table
in memory.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.db.models import prefetch_related_objects
from rest_framework.exceptions import ValidationError
from rest_framework.fields import get_error_detail
from rest_framework.validators import UniqueTogetherValidator

from .memo import Memo
from .outcome import RowError, row_errors
from .related import Relations
from .uniqueness import Checks, free_key, together_sources
from .watch import TableWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columns import Column
    from .uniqueness import Question

__all__ = ("UNSTORABLE", "UNSTORABLE_ERROR", "Candidate", "Plan", "Verdict")

# What DRF lets through and no database could hold: an integer of 400 bits, a NUL in a
# slug. Row by row, each would be a 500.
UNSTORABLE = (ArithmeticError, DataError, UnicodeError)
UNSTORABLE_ERROR = RowError(
    "", "invalid", "This row has a value that cannot be stored."
)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A row to be validated: as a new one, or as a change of a stored one."""

    data: Any
    instance: Model | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What validation said of a row: its values, or errors."""

    values: dict[str, Any] | None
    errors: tuple[RowError, ...] = ()


class Plan:
    """Validates the rows of a batch.

    `get_serializer(data=…, partial=…)` makes the serializers: one for rows that are
    new, one, `partial` or not, for those that change a stored row. `key` names the
    columns that rows are written by; whether it is taken is not asked (see
    `free_key`).
    """

    def __init__(
        self,
        get_serializer: Callable[..., Serializer[Any]],
        *,
        model: type[Model],
        using: str,
        key: Sequence[Column] = (),
        partial: bool = True,
        memo: Memo | None = None,
    ) -> None:
        self._memo = memo or Memo()
        self.watch = TableWatch(model, using)
        self.relations = Relations(self.watch)
        self.checks = Checks()
        self._new = self._prepared(get_serializer(data={}), key)
        self._stored = self._prepared(get_serializer(data={}, partial=partial), key)
        self._compared = _compared_relations(self._stored, model)

    def _prepared(
        self, serializer: Serializer[Any], key: Sequence[Column]
    ) -> Serializer[Any]:
        free_key(serializer, key)
        self.relations.attach(serializer)
        self.checks.attach(serializer)
        self._memo.attach(serializer)

        return serializer

    @property
    def sources(self) -> list[str]:
        """What the serializer may write to."""
        fields: Any = self._new.fields.values()

        return [field.source for field in fields if not field.read_only]

    def prime(self, rows: Sequence[Any]) -> None:
        """Load what these rows refer to, for all that is validated from here on."""
        self.relations.load(self._new, rows)

    def validate(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """A verdict for each row, in order, as if every earlier one that is valid had
        been written.

        There are fewer verdicts than rows, but at least one, where a row would see
        what an earlier one writes: it reads the table, or wants a value that an
        earlier one takes or gives up. Write those; then ask again.
        """
        self._fetch_compared(candidates)
        self.checks.ask()
        judged = self._judge(candidates)
        self.checks.answer(q for _, questions in judged for q in questions)

        return self._settle(candidates, judged)

    def _fetch_compared(self, candidates: Sequence[Candidate]) -> None:
        # The stock unique-together validator compares with `instance.account`, not
        # `account_id`: without this, one query a row.
        stored = [c.instance for c in candidates if c.instance is not None]

        if stored and self._compared:
            prefetch_related_objects(stored, *self._compared)

    def _judge(
        self, candidates: Sequence[Candidate]
    ) -> list[tuple[Verdict, list[Question]]]:
        judged: list[tuple[Verdict, list[Question]]] = []
        written = False

        with self.watch.watching():
            for candidate in candidates:
                self.watch.hit = False
                self.checks.questions = []
                verdict = self._run(candidate)

                if self.watch.hit and written:
                    break

                judged.append((verdict, self.checks.questions))
                written = written or verdict.values is not None

        return judged

    def _settle(
        self,
        candidates: Sequence[Candidate],
        judged: list[tuple[Verdict, list[Question]]],
    ) -> list[Verdict]:
        verdicts: list[Verdict] = []
        written = False
        taken: set[Any] = set()
        changed: set[Any] = set()

        for candidate, (verdict, questions) in zip(candidates, judged, strict=False):
            wants = {question.wanted() for question in questions}
            holders = {pk for question in questions for pk in question.holders()}

            if wants & taken or holders & changed:
                break

            if holders or any(question.is_unknown for question in questions):
                with self.watch.watching():
                    verdict = self._run(candidate)

                if self.watch.hit and written:
                    break

            verdicts.append(verdict)

            if verdict.values is not None:
                written = True
                taken |= wants

                if candidate.instance is not None:
                    changed.add(candidate.instance.pk)

        return verdicts

    def _run(self, candidate: Candidate) -> Verdict:
        serializer = self._new if candidate.instance is None else self._stored
        serializer.instance = candidate.instance
        serializer.initial_data = candidate.data

        try:
            return Verdict(serializer.run_validation(candidate.data))
        except ValidationError as error:
            return Verdict(None, row_errors(error.detail))
        except DjangoValidationError as error:
            return Verdict(None, row_errors(get_error_detail(error)))
        except UNSTORABLE:
            return Verdict(None, (UNSTORABLE_ERROR,))


def _compared_relations(
    serializer: Serializer[Any], model: type[Model]
) -> tuple[str, ...]:
    """The foreign keys among the fields of unique-together validators."""
    sources = {
        source
        for validator in serializer.validators
        if isinstance(validator, UniqueTogetherValidator)
        for source in together_sources(serializer, validator)
    }

    return tuple(
        column.name
        for column in model._meta.concrete_fields
        if column.is_relation and column.name in sources
    )
