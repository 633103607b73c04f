"""Uniqueness validators of a batch: one query for each, instead of one for each row.

The validators stay DRF's own; only the queryset that they ask is replaced.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from rest_framework.validators import UniqueTogetherValidator, UniqueValidator

from . import columns as cols
from .compiled.unique import Together
from .matching import Finder, primary_keys

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from django.db.models import QuerySet
    from rest_framework.serializers import Serializer

    from .columns import Column
    from .matching import Key

__all__ = (
    "Attached",
    "Checks",
    "Question",
    "free_key",
    "together_sources",
    "without_uniqueness",
)


class Question:
    """A row asked whether somebody else than `excluded` has this key."""

    __slots__ = ("check", "excluded", "key")

    def __init__(self, check: _Check, key: Key, excluded: Any) -> None:
        self.check = check
        self.key = key
        self.excluded = excluded

    @property
    def is_unknown(self) -> bool:
        return self.key in self.check.unknown

    def holders(self) -> list[Any]:
        """Primary keys of those who have it."""
        return [
            pk for pk in self.check.holders.get(self.key, ()) if pk != self.excluded
        ]

    def wanted(self) -> Hashable:
        """Equal for rows that want the same, new ones and changes of stored ones."""
        return frozenset(zip(self.check.ordered, self.key, strict=True))


class Checks:
    """The uniqueness checks of a plan.

    While `asking`, a check notes what it is asked and says that it is free. After
    `answer`, it answers; what it was not asked before, the database does.
    """

    def __init__(self) -> None:
        self.asking = True
        #: What was asked since it was last cleared.
        self.questions: list[Question] = []
        self._all: list[_Check] = []

    def attach(self, serializer: Serializer[Any]) -> Attached:
        """Let the serializer's uniqueness validators ask here. Those of a kind that is
        not stock, or with a condition, go on asking the database."""
        attached = Attached()

        for field in serializer.fields.values():
            source = field.source_attrs[-1] if field.source_attrs else ""

            for index, validator in enumerate(field.validators):
                if _is_stock_unique(validator):
                    checked = self._checked(validator, [source], [f"{source}__exact"])
                    field.validators[index] = checked

                attached.add_to_field(str(field.field_name), field.validators[index])

        for index, validator in enumerate(serializer.validators):
            if _is_stock_together(validator):
                sources = together_sources(serializer, validator)
                serializer.validators[index] = self._checked(
                    validator, sources, sources
                )

            attached.add_to_rows(serializer, serializer.validators[index])

        return attached

    def _checked(
        self, validator: Any, sources: Sequence[str], lookups: Sequence[str]
    ) -> Any:
        if isinstance(validator.queryset, _Free):
            return validator

        queryset = validator.queryset.all()
        found = [cols.column_of(queryset.model, source) for source in sources]
        columns = tuple(c for c in found if c is not None and cols.is_plain(c))

        if len(columns) < len(sources):
            return validator

        check = _Check(self, queryset, columns, tuple(lookups))
        self._all.append(check)

        return _with_queryset(validator, _Asked(check, queryset))

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
        keys: dict[_Check, set[Key]] = {}

        for question in questions:
            keys.setdefault(question.check, set()).add(question.key)

        self.load(keys)

    def load(self, keys: Mapping[_Check, set[Key]]) -> None:
        """As `answer`, of keys."""
        self.asking = False

        for check, wanted in keys.items():
            check.load(wanted)


class Attached:
    """What a serializer's validators ask, as far as it can be asked for columns."""

    def __init__(self) -> None:
        self.fields: dict[str, list[_Check]] = {}
        #: Fields of which one validator has to be called for every row.
        self.unknown_fields: set[str] = set()
        self.rows: list[Together] = []
        #: Whether there is a validator of rows that has to be called for each.
        self.has_unknown = False

    def add_to_field(self, name: str, validator: Any) -> None:
        queryset = getattr(validator, "queryset", None)

        if isinstance(queryset, _Asked):
            self.fields.setdefault(name, []).append(queryset.check)
        elif isinstance(validator, UniqueValidator) and not isinstance(queryset, _Free):
            self.unknown_fields.add(name)

    def add_to_rows(self, serializer: Serializer[Any], validator: Any) -> None:
        queryset = getattr(validator, "queryset", None)
        check = queryset.check if isinstance(queryset, _Asked) else None

        if not (check or isinstance(queryset, _Free)):
            self.has_unknown = True

            return

        fields: Any = serializer.fields
        sources = together_sources(serializer, validator)
        columns = tuple(
            column
            for source in sources
            if (column := cols.column_of(serializer.Meta.model, source)) is not None  # type: ignore[attr-defined]
            and cols.holds_primary_keys(column)
        )

        if (
            len(columns) < len(sources)
            or sources != list(validator.fields)
            or any(fields[name].read_only for name in validator.fields)
            or getattr(validator, "nulls_distinct", None) is False
        ):
            self.has_unknown = True
        else:
            self.rows.append(Together(check, tuple(sources), columns))


class _Check:
    """One validator's columns in one queryset."""

    def __init__(
        self,
        checks: Checks,
        queryset: QuerySet[Any],
        columns: tuple[Column, ...],
        lookups: tuple[str, ...],
    ) -> None:
        self.checks = checks
        self._queryset = queryset
        self.ordered = columns
        self._lookups = lookups
        self.holders: dict[Key, list[Any]] = {}
        self.unknown: frozenset[Key] = frozenset()

    @property
    def columns(self) -> frozenset[Column]:
        return frozenset(self.ordered)

    @property
    def is_total(self) -> bool:
        query = self._queryset.query

        return not (query.where or query.is_sliced or query.combinator)

    def key(self, given: Mapping[str, Any]) -> Key | None:
        """None where only the database can tell."""
        if given.keys() != set(self._lookups):
            return None

        values = [given[lookup] for lookup in self._lookups]

        if any(value is None for value in values):
            return None

        return tuple(map(cols.identity, self.ordered, values))

    def load(self, keys: set[Key]) -> None:
        found = Finder(self._queryset, self.ordered, primary_keys).find(keys)
        self.holders, self.unknown = found.rows, found.unknown


class _Asked:
    """What a uniqueness validator is given for its queryset."""

    def __init__(
        self, check: _Check, real: Any, key: Key | None = None, excluded: Any = None
    ) -> None:
        self.check = check
        self._real = real
        self._key = key
        self._excluded = excluded

    def all(self) -> _Asked:
        return self

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        key = None if args or self._key else self.check.key(kwargs)

        if key is None:
            return self._real.filter(*args, **kwargs)

        return _Asked(self.check, _Later(self._real, "filter", kwargs), key)

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        if args or self._key is None or list(kwargs) != ["pk"]:
            return self._real.exclude(*args, **kwargs)

        later = _Later(self._real, "exclude", kwargs)

        return _Asked(self.check, later, self._key, kwargs["pk"])

    def exists(self) -> bool:
        if self._key is None:
            return bool(self._real.exists())

        question = Question(self.check, self._key, self._excluded)

        if self.check.checks.asking:
            self.check.checks.questions.append(question)

            return False

        if question.is_unknown:
            return bool(self._real.exists())

        return bool(question.holders())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class _Later:
    """A queryset that is not made unless it is asked: building it takes longer than
    the whole validation of most rows."""

    def __init__(self, real: Any, method: str, kwargs: Mapping[str, Any]) -> None:
        self._real = real
        self._method = method
        self._kwargs = kwargs

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._real, self._method)(**self._kwargs)

        return getattr(made, name)


class _Free:
    """Stands for a queryset without rows."""

    def all(self) -> _Free:
        return self

    def filter(self, *_: Any, **__: Any) -> _Free:
        return self

    def exclude(self, *_: Any, **__: Any) -> _Free:
        return self

    def exists(self) -> bool:
        return False


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
                field.validators[index] = _with_queryset(validator, _Free())

    for index, validator in enumerate(serializer.validators):
        if _is_stock_together(validator) and wanted == set(
            together_sources(serializer, validator)
        ):
            serializer.validators[index] = _with_queryset(validator, _Free())


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
        # A condition is for the database.
        and getattr(validator, "condition", None) is None
    )


def _with_queryset(validator: Any, queryset: Any) -> Any:
    primed = copy.copy(validator)
    primed.queryset = queryset

    return primed
