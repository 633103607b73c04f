"""What uniqueness validators of a batch ask, and who has it: one query for each
validator, instead of one for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections

from . import columns as cols
from .matching import Finder, primary_keys

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from django.db.models import QuerySet

    from .columns import Column
    from .matching import Key

__all__ = ("Asked", "Check", "Free", "Question")


class Asking(Protocol):
    """Who keeps what was asked."""

    asking: bool
    questions: list[Question]


class Question:
    """A row asked whether somebody else than `excluded` has this key."""

    __slots__ = ("check", "excluded", "key")

    def __init__(self, check: Check, key: Key, excluded: Any) -> None:
        self.check = check
        self.key = key
        self.excluded = excluded

    @property
    def is_unknown(self) -> bool:
        return self.key in self.check.unknown

    def holders(self) -> Sequence[Any]:
        """Primary keys of those who have it."""
        return [
            pk for pk in self.check.holders.get(self.key, ()) if pk != self.excluded
        ]

    def wanted(self) -> Hashable:
        """Equal for rows that want the same, new ones and changes of stored ones."""
        key = self.check.told(self.key)

        return frozenset(zip(self.check.ordered, key, strict=True))


class Check:
    """One validator's columns in one queryset."""

    def __init__(
        self,
        checks: Asking,
        queryset: QuerySet[Any],
        columns: tuple[Column, ...],
        lookups: tuple[str, ...],
    ) -> None:
        self.checks = checks
        self.queryset = queryset
        self.ordered = columns
        connection = connections[queryset.db]
        self._is_exact = all(cols.compares_exactly(c, connection) for c in columns)
        self._lookups = lookups
        self.holders: dict[Key, Sequence[Any]] = {}
        self.unknown: frozenset[Key] = frozenset()

    def told(self, key: Key) -> Key:
        """Equal for keys that the database may take for equal."""
        return key if self._is_exact else tuple(map(cols.folded, key))

    def told_all(self, keys: Sequence[Key]) -> Sequence[Key]:
        return keys if self._is_exact else [*map(self.told, keys)]

    @property
    def columns(self) -> frozenset[Column]:
        return frozenset(self.ordered)

    @property
    def is_total(self) -> bool:
        query = self.queryset.query

        return not (query.where or query.is_sliced or query.combinator)

    def key(self, given: Mapping[str, Any]) -> Key | None:
        """None where only the database can tell."""
        if given.keys() != set(self._lookups):
            return None

        values = [given[lookup] for lookup in self._lookups]

        if any(value is None for value in values):
            return None

        return tuple(map(cols.identity, self.ordered, values))

    def ask(self, key: Key, excluded: Any) -> bool | None:
        """Whether somebody else has the key; None where only the database can tell.
        While the checks are asking, nobody has."""
        question = Question(self, key, excluded)

        if self.checks.asking:
            self.checks.questions.append(question)

            return False

        return None if question.is_unknown else bool(question.holders())

    def load(self, keys: set[Key]) -> None:
        found = Finder(self.queryset, self.ordered, primary_keys).find(keys)
        self.holders, self.unknown = found.rows, found.unknown


class Asked:
    """What a uniqueness validator is given for its queryset."""

    def __init__(
        self, check: Check, real: Any, key: Key | None = None, excluded: Any = None
    ) -> None:
        self.check = check
        self._real = real
        self._key = key
        self._excluded = excluded

    def all(self) -> Asked:
        return self

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        key = None if args or self._key else self.check.key(kwargs)

        if key is None:
            return self._real.filter(*args, **kwargs)

        return Asked(self.check, Later(self._real, "filter", kwargs), key)

    def exclude(self, *args: Any, **kwargs: Any) -> Any:
        if args or self._key is None or list(kwargs) != ["pk"]:
            return self._real.exclude(*args, **kwargs)

        later = Later(self._real, "exclude", kwargs)

        return Asked(self.check, later, self._key, kwargs["pk"])

    def exists(self) -> bool:
        if self._key is None:
            return bool(self._real.exists())

        taken = self.check.ask(self._key, self._excluded)

        return bool(self._real.exists()) if taken is None else taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Later:
    """A queryset that is not made unless it is asked: building it takes longer than
    the whole validation of most rows."""

    def __init__(self, real: Any, method: str, kwargs: Mapping[str, Any]) -> None:
        self._real = real
        self._method = method
        self._kwargs = kwargs

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._real, self._method)(**self._kwargs)

        return getattr(made, name)


class Free:
    """Stands for a queryset without rows."""

    def all(self) -> Free:
        return self

    def filter(self, *_: Any, **__: Any) -> Free:
        return self

    def exclude(self, *_: Any, **__: Any) -> Free:
        return self

    def exists(self) -> bool:
        return False
