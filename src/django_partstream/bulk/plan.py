"""Many rows through DRF's own validation, with its look-ups answered in bulk.

What a `Judge` can tell of whole columns is told of whole columns; every other row runs
the stock fields and hooks of one serializer, given the answers of queries made for the
batch. So values, errors and codes are DRF's, whatever its version, and the queries of a
batch are few and constant.

Rows of a batch are judged before any of them is written. One whose judgement could
depend on what an earlier row of the batch writes is not judged at all: the batch ends
before it. That makes the outcome the one of row by row, without a picture of the table
in memory.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.db.models import prefetch_related_objects
from rest_framework.validators import UniqueTogetherValidator

from .judge import UNSTORABLE, UNSTORABLE_ERROR, Candidate, Judge, Verdict
from .links import Links
from .questions import Question
from .related import Relations
from .table import Table
from .uniqueness import Checks, together_sources
from .watch import TableWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columns import Column

__all__ = ("UNSTORABLE", "UNSTORABLE_ERROR", "Candidate", "Plan", "Verdict")


@dataclasses.dataclass(slots=True)
class _Judged:
    """Verdicts that suppose that every key is free."""

    #: How many of the rows are judged.
    count: int
    #: Of the rows that were looked at by themselves, by index.
    verdicts: dict[int, Verdict]
    #: What they asked.
    questions: dict[int, list[Question]]
    #: Indexes of the rows of each judge, and the keys that those ask for by check.
    groups: list[tuple[Judge, list[int], list[tuple[Any, list[Any]]]]]

    def asked(self) -> Iterator[tuple[int, Any, Any]]:
        """Row, check and key of all that was asked of columns."""
        for _, indexes, asked in self.groups:
            for check, keys in asked:
                for index, key in zip(indexes, keys, strict=True):
                    if key is None or index in self.verdicts or index >= self.count:
                        continue

                    yield index, check, key


class Plan:
    """Validates the rows of a batch.

    `get_serializer(data=…, partial=…)` makes the serializers: one for rows that are
    new, one, `partial` or not, for those that change a stored row. `key` names the
    columns that rows are written by; whether it is taken is not asked (see
    `free_key`). Of rows that change a stored one, only `update_fields` count, if given.
    """

    def __init__(
        self,
        get_serializer: Callable[..., Serializer[Any]],
        *,
        model: type[Model],
        using: str,
        key: Sequence[Column] = (),
        partial: bool = True,
        update_fields: frozenset[str] | None = None,
    ) -> None:
        self.watch = TableWatch(model, using)
        self.relations = Relations(self.watch)
        self.checks = Checks(using)
        self._update_fields = update_fields
        self.new, self.stored = (
            Judge(
                serializer,
                key=key,
                relations=self.relations,
                checks=self.checks,
            )
            for serializer in (
                get_serializer(data={}),
                get_serializer(data={}, partial=partial),
            )
        )
        self.links = Links(model, self.sources, using)
        self.table = Table(model, self.links)
        self._compared = _compared_relations(self.stored.serializer, model)

    @property
    def sources(self) -> list[str]:
        """What the serializer may write to."""
        fields: Any = self.new.serializer.fields.values()

        return [field.source for field in fields if not field.read_only]

    def prime(self, rows: Sequence[Any]) -> None:
        """Load what these rows refer to, for all that is validated from here on."""
        # Nothing of it is read before it is known what it refers to.
        self.new.prime(rows)
        self.relations.load(self.new.serializer, rows, self.new.cells)
        self.stored.prime(rows, self._update_fields, self.new)

    def column(self, name: str) -> list[Any] | None:
        """What the primed rows have for a field: values, ABSENT or UNSURE. None where
        more than the field has a say."""
        return self.new.column(name)

    def validate(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        """A verdict for each row, in order, as if every earlier one that is valid had
        been written.

        There are fewer verdicts than rows, but at least one, where a row would see
        what an earlier one writes: it reads the table, or wants a value that an
        earlier one takes or gives up. Write those; then ask again.
        """
        self.fetch_compared([c.instance for c in candidates if c.instance is not None])
        self.checks.ask()
        judged = self._judge(candidates)
        wanted: dict[Any, set[Any]] = {}

        for _, check, key in judged.asked():
            wanted.setdefault(check, set()).add(key)

        for questions in judged.questions.values():
            for question in questions:
                wanted.setdefault(question.check, set()).add(question.key)

        self.checks.load(wanted)
        count = self._settle(candidates, judged, wanted)

        return self._verdicts(candidates[:count], judged)

    def values(self, candidate: Candidate, verdict: Verdict) -> dict[str, Any]:
        """The validated data of a valid row."""
        if verdict.values is not None:
            return verdict.values

        return self._judge_of(candidate).values([candidate.place])[0]

    def _judge_of(self, candidate: Candidate) -> Judge:
        return self.new if candidate.instance is None else self.stored

    def fetch_compared(self, stored: Sequence[Model]) -> None:
        """Load what the stock unique-together validator looks at: `instance.account`,
        not `account_id`. Without this, one query a row."""
        if stored and self._compared:
            prefetch_related_objects(stored, *self._compared)

    def _judge(self, candidates: Sequence[Candidate]) -> _Judged:
        judged = _Judged(len(candidates), {}, {}, [])
        doubtful: set[int] = set()

        for judge, is_new in ((self.new, True), (self.stored, False)):
            indexes = [
                i for i, c in enumerate(candidates) if (c.instance is None) is is_new
            ]

            if indexes:
                found, asked = judge.doubtful(
                    [candidates[i].place for i in indexes],
                    [candidates[i].instance for i in indexes],
                )
                doubtful.update(indexes[place] for place in found)
                judged.groups.append((judge, indexes, asked))

        self._look(candidates, sorted(doubtful), judged)

        return judged

    def _look(
        self, candidates: Sequence[Candidate], indexes: Sequence[int], judged: _Judged
    ) -> None:
        """At rows by themselves."""
        accepted = False

        with self.watch.watching():
            for nth, index in enumerate(indexes):
                self.watch.hit = False
                questions: list[Question] = []
                self.checks.questions = questions
                candidate = candidates[index]
                verdict = self._judge_of(candidate).judge(candidate)

                # Any earlier row that was not looked at is accepted.
                if self.watch.hit and (accepted or index > nth):
                    judged.count = index

                    return

                judged.verdicts[index] = verdict
                judged.questions[index] = questions
                accepted = accepted or verdict.is_valid

    def _settle(
        self,
        candidates: Sequence[Candidate],
        judged: _Judged,
        wanted: dict[Any, set[Any]],
    ) -> int:
        """How many rows are judged for good, knowing what was asked."""
        if not wanted or self._is_all_free(judged, wanted):
            return judged.count

        questions = dict(judged.questions)

        for index, check, key in judged.asked():
            instance = candidates[index].instance
            excluded = None if instance is None else instance.pk
            questions.setdefault(index, []).append(Question(check, key, excluded))

        written = False
        taken: set[Any] = set()
        changed: set[Any] = set()

        for index in range(judged.count):
            candidate = candidates[index]
            asked = questions.get(index, ())
            wants = {question.wanted() for question in asked}
            holders = {pk for question in asked for pk in question.holders()}

            if wants & taken or holders & changed:
                return index

            if holders or any(question.is_unknown for question in asked):
                with self.watch.watching():
                    verdict = self._judge_of(candidate).judge(candidate)

                if self.watch.hit and written:
                    return index

                judged.verdicts[index] = verdict

            known = judged.verdicts.get(index)

            if known is None or known.is_valid:
                written = True
                taken |= wants

                if candidate.instance is not None:
                    changed.add(candidate.instance.pk)

        return judged.count

    def _is_all_free(self, judged: _Judged, wanted: dict[Any, set[Any]]) -> bool:
        """Whether nobody has what was asked for, and no two rows want the same."""
        if any(check.holders or check.unknown for check in wanted):
            return False

        orders = {check.columns: check.ordered for check in wanted}

        if any(check.ordered != orders[check.columns] for check in wanted):
            return False

        numbers = {check: [*orders].index(check.columns) for check in wanted}
        asked = [(numbers[c], c.told(key)) for _, c, key in judged.asked()]
        asked += (
            (numbers[question.check], question.check.told(question.key))
            for questions in judged.questions.values()
            for question in questions
        )

        return len({*asked}) == len(asked)

    def _verdicts(
        self, candidates: Sequence[Candidate], judged: _Judged
    ) -> list[Verdict]:
        verdicts: list[Any] = [judged.verdicts.get(i) for i in range(len(candidates))]

        for verdict in filter(None, verdicts):
            if verdict.values is not None:
                verdict.record = self.table.record(verdict.values)

        for judge, indexes, _ in judged.groups:
            clean = [i for i in indexes if i < len(verdicts) and verdicts[i] is None]
            places = [candidates[i].place for i in clean]
            records = judge.records(self.table, places) if places else []

            for index, record in zip(clean, records, strict=True):
                verdicts[index] = Verdict(True, record=record)

        return verdicts


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
