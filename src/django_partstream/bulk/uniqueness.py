"""Uniqueness validators of a batch: one query for each, instead of one for each row.

The validators stay DRF's own; only the queryset that they ask is replaced.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.db.models import Manager, QuerySet
from rest_framework.validators import (
    UniqueForDateValidator,
    UniqueForMonthValidator,
    UniqueForYearValidator,
    UniqueTogetherValidator,
    UniqueValidator,
)

from . import columns as cols
from .compiled.unique import Together
from .conditional import Conditional, ForDate
from .questions import Asked, Check, Free, Question

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rest_framework.serializers import Serializer

    from .columns import Column
    from .matching import Key

FOR_DATES = (UniqueForDateValidator, UniqueForMonthValidator, UniqueForYearValidator)

__all__ = (
    "Attached",
    "Checks",
    "Question",
    "free_key",
    "together_sources",
    "without_uniqueness",
)


class Checks:
    """The uniqueness checks of a plan.

    While `asking`, a check notes what it is asked and says that it is free. After
    `answer`, it answers; what it was not asked before, the database does.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self.asking = True
        #: What was asked since it was last cleared.
        self.questions: list[Question] = []
        self._all: list[Check] = []

    def attach(self, serializer: Serializer[Any]) -> Attached:
        """Let the serializer's uniqueness validators ask here. Those of a kind that is
        not stock go on asking the database."""
        attached = Attached()

        for field in serializer.fields.values():
            source = field.source_attrs[-1] if field.source_attrs else ""

            for index, validator in enumerate(field.validators):
                if _is_stock_unique(validator):
                    checked = self._checked(validator, [source], [f"{source}__exact"])
                    field.validators[index] = checked

                attached.add_to_field(str(field.field_name), field.validators[index])

        for index, validator in enumerate(serializer.validators):
            primed = self._primed(serializer, validator)
            serializer.validators[index] = primed
            attached.add_to_rows(serializer, primed)

        return attached

    def _primed(self, serializer: Serializer[Any], validator: Any) -> Any:
        """A validator of rows, asking here if it is of a known kind."""
        queryset: Any = getattr(validator, "queryset", None)

        # Asked where rows are written: a replica knows nothing of the batch yet.
        is_rows = isinstance(queryset, Manager | QuerySet)

        if is_rows and queryset._db is None:
            validator = _with_queryset(validator, queryset.using(self._using))

        if type(validator) is UniqueTogetherValidator:
            sources = together_sources(serializer, validator)
            condition = getattr(validator, "condition", None)

            if condition is None:
                return self._checked(validator, sources, sources)

            rows = validator.queryset.filter(condition)
            check = self._check(rows, sources, sources)

            return validator if check is None else Conditional(validator, check)

        if type(validator) in FOR_DATES:
            names = ForDate.columns(serializer, validator)
            check = self._check(validator.queryset.all(), names, names)

            return validator if check is None else ForDate(validator, check, names)

        return validator

    def _checked(
        self, validator: Any, sources: Sequence[str], lookups: Sequence[str]
    ) -> Any:
        if isinstance(validator.queryset, Free):
            return validator

        queryset = validator.queryset.all()

        if queryset._db is None:
            queryset = queryset.using(self._using)

        check = self._check(queryset, sources, lookups)

        if check is None:
            return validator

        return _with_queryset(validator, Asked(check, queryset))

    def _check(
        self, queryset: Any, sources: Sequence[str], lookups: Sequence[str]
    ) -> Check | None:
        found = [cols.column_of(queryset.model, source) for source in sources]
        columns = tuple(c for c in found if c is not None and cols.is_plain(c))

        if not sources or len(columns) < len(sources):
            return None

        check = Check(self, queryset, columns, tuple(lookups))
        self._all.append(check)

        return check

    def covers(self) -> set[frozenset[Column]]:
        """The sets of columns that are checked against the whole table."""
        return {check.columns for check in self._all if check.is_total}

    def ask(self) -> None:
        self.asking = True

        for check in self._all:
            check.holders, check.unknown = {}, frozenset()

    def answer(self, questions: Iterable[Question]) -> None:
        """Look up all that was asked: one query a check."""
        self.asking = False
        keys: dict[Check, set[Key]] = {}

        for question in questions:
            keys.setdefault(question.check, set()).add(question.key)

        self.load(keys)

    def load(self, keys: Mapping[Check, set[Key]]) -> None:
        """As `answer`, of keys."""
        self.asking = False

        for check, wanted in keys.items():
            check.load(wanted)


class Attached:
    """What a serializer's validators ask, as far as it can be asked for columns."""

    def __init__(self) -> None:
        self.fields: dict[str, list[Check]] = {}
        #: Fields of which one validator has to be called for every row.
        self.unknown_fields: set[str] = set()
        self.rows: list[Together] = []
        #: Whether there is a validator of rows that has to be called for each.
        self.has_unknown = False

    def add_to_field(self, name: str, validator: Any) -> None:
        queryset = getattr(validator, "queryset", None)

        if isinstance(queryset, Asked):
            self.fields.setdefault(name, []).append(queryset.check)
        elif isinstance(validator, UniqueValidator) and not isinstance(queryset, Free):
            self.unknown_fields.add(name)

    def add_to_rows(self, serializer: Serializer[Any], validator: Any) -> None:
        queryset = getattr(validator, "queryset", None)
        check: Check | None = getattr(validator, "check", None)

        if isinstance(queryset, Asked):
            check = queryset.check
        elif check is None and not isinstance(queryset, Free):
            self.has_unknown = True

            return

        rule = _rule(serializer, validator, check)

        if rule is None:
            self.has_unknown = True
        else:
            self.rows.append(rule)


def _rule(
    serializer: Serializer[Any], validator: Any, check: Check | None
) -> Together | None:
    """What the validator asks, if columns are all that it looks at."""
    is_for_date = isinstance(validator, ForDate)
    names = list(validator.names if is_for_date else validator.fields)
    needed = validator.needed if is_for_date else _condition_fields(validator)
    beside = [name for name in needed if name not in names]
    fields: Any = serializer.fields
    model: Any = serializer.Meta.model  # type: ignore[attr-defined]
    columns: list[Column] = []

    for name in [*names, *beside]:
        column = cols.column_of(model, name)

        if (
            column is None
            or not cols.holds_primary_keys(column)
            or fields[name].read_only
            or fields[name].source != name
        ):
            return None

        columns.append(column)

    if getattr(validator, "nulls_distinct", None) is False:
        return None

    return Together(
        check,
        (*names, *beside),
        tuple(columns),
        len(names),
        is_always_asked=is_for_date,
    )


def _condition_fields(validator: Any) -> Sequence[str]:
    return getattr(validator, "condition_fields", None) or ()


def free_key(serializer: Serializer[Any], key: Sequence[Column]) -> None:
    """Let no validator of this serializer ask whether the key itself is taken.

    Who writes rows by their key finds that out, and then holds the row's lock.
    """
    wanted = {column.name for column in key}

    if not wanted:
        return

    for field in serializer.fields.values():
        for index, validator in enumerate(field.validators):
            if _is_stock_unique(validator) and set(field.source_attrs[-1:]) == wanted:
                field.validators[index] = _with_queryset(validator, Free())

    for index, validator in enumerate(serializer.validators):
        if _is_stock_together(validator) and wanted == set(
            together_sources(serializer, validator)
        ):
            serializer.validators[index] = _with_queryset(validator, Free())


def without_uniqueness(serializer: Serializer[Any]) -> None:
    """Drop what would ask whether a single field's value is taken."""
    for field in serializer.fields.values():
        field.validators = [
            validator
            for validator in field.validators
            if not isinstance(validator, UniqueValidator)
        ]


def together_sources(serializer: Serializer[Any], validator: Any) -> list[str]:
    fields: Any = serializer.fields

    return [fields[name].source for name in validator.fields]


def _is_stock_unique(validator: Any) -> bool:
    return type(validator) is UniqueValidator and validator.lookup == "exact"


def _is_stock_together(validator: Any) -> bool:
    return (
        type(validator) is UniqueTogetherValidator
        # Not all that have the key may be in its way.
        and getattr(validator, "condition", None) is None
    )


def _with_queryset(validator: Any, queryset: Any) -> Any:
    primed = copy.copy(validator)
    primed.queryset = queryset

    return primed
