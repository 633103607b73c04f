"""Which stored rows have these keys, as the database compares them.

Only the ORM is used, so that a queryset's own filters hold.
"""

from __future__ import annotations

import dataclasses
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import DataError, connections, transaction

from . import columns as cols
from .among import among, takes_all
from .columns import column_of
from .compiled.unique import identities
from .selecting import fetched

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Hashable,
        Iterable,
        Iterator,
        Sequence,
    )

    from django.db.models import Model, QuerySet

    from .columns import Column

__all__ = (
    "Finder",
    "Found",
    "Key",
    "can_lock_values",
    "instances",
    "lock",
    "locked_instances",
    "locked_values",
    "primary_keys",
)

Key = tuple["Hashable", ...]
T = TypeVar("T")

# A value that this database cannot even be asked about: a NUL in a text, a number
# beyond 64 bits, a lone surrogate.
UNASKABLE = (ArithmeticError, DataError, ValidationError, ValueError)


@dataclasses.dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What was stored under each key; keys without a row are absent."""

    rows: dict[Key, Sequence[T]]
    #: The database could not be asked for these.
    unknown: frozenset[Key]


class Finder(Generic[T]):
    """Finds rows of a queryset by the values of some of its columns.

    `read` turns a filtered queryset into pairs of key and item: see `primary_keys`,
    `instances` and `locked_instances`.
    """

    def __init__(
        self,
        queryset: QuerySet[Any],
        columns: tuple[Column, ...],
        read: Callable[[QuerySet[Any], tuple[Column, ...]], Iterable[tuple[Key, T]]],
    ) -> None:
        self._queryset = queryset
        self._columns = columns
        self._read = read
        self._connection = connections[queryset.db]
        self._exact = all(cols.compares_exactly(c, self._connection) for c in columns)
        limit = self._connection.features.max_query_params
        self._limit = None if takes_all(columns, self._connection) else limit

    def find(self, keys: Collection[Key]) -> Found[T]:
        """The rows of each key. A few queries, however many keys there are."""
        rows: dict[Key, Sequence[T]] = {}
        unknown: set[Key] = set()
        self._resolve(list(keys), rows, unknown)

        return Found(rows, frozenset(unknown))

    def _resolve(
        self, keys: list[Key], rows: dict[Key, Sequence[T]], unknown: set[Key]
    ) -> None:
        """Where Python and the database may differ about equality, the keys that
        Python pairs with no row are asked for again, without those it does: fewer
        and fewer, and one at a time in the end."""
        pairs = self._fetch(keys, unknown)

        if not pairs:
            return

        if len(keys) == 1:
            rows[keys[0]] = [item for _, item in pairs]

            return

        wanted = set(keys)
        once = dict(pairs)
        strangers = not once.keys() <= wanted

        if len(once) == len(pairs) and not strangers:
            # Without a list for each, which garbage collection would look at.
            rows.update(zip(once, zip(once.values(), strict=True), strict=True))
        else:
            several: dict[Key, list[T]] = {}

            for key, item in pairs:
                if key in wanted:
                    several.setdefault(key, []).append(item)

            rows.update(several)

        if self._exact and not strangers:
            return

        rest = [key for key in keys if key not in rows and key not in unknown]

        if len(rest) < len(keys):
            parts = [rest]
        else:
            half = len(rest) // 2
            parts = [rest[:half], rest[half:]]

        for part in filter(None, parts):
            self._resolve(part, rows, unknown)

    def _fetch(self, keys: list[Key], unknown: set[Key]) -> list[tuple[Key, T]]:
        step = self._chunk_size() or max(1, len(keys))
        pairs: list[tuple[Key, T]] = []

        for start in range(0, len(keys), step):
            pairs += self._tried(keys[start : start + step], unknown)

        return pairs

    def _chunk_size(self) -> int | None:
        if not self._limit:
            return None

        try:
            _, own = self._queryset.query.sql_with_params()
        except EmptyResultSet:
            own = ()

        return max(1, (self._limit - len(own)) // len(self._columns))

    def _tried(self, keys: list[Key], unknown: set[Key]) -> list[tuple[Key, T]]:
        try:
            with transaction.atomic(using=self._queryset.db):
                condition = among(self._columns, keys, self._connection)
                filtered = self._queryset.filter(condition)

                return list(self._read(filtered, self._columns))
        except UNASKABLE:
            if len(keys) == 1:
                unknown.add(keys[0])

                return []

        half = len(keys) // 2

        return self._tried(keys[:half], unknown) + self._tried(keys[half:], unknown)


def primary_keys(
    queryset: QuerySet[Any], columns: tuple[Column, ...]
) -> Iterator[tuple[Key, Any]]:
    names = [column.attname for column in columns]
    rows = fetched(
        queryset.order_by().values_list(*names, "pk"),
        [*columns, queryset.model._meta.pk],
    )

    for *values, pk in rows:
        yield _key(columns, values), pk


def instances(
    queryset: QuerySet[Model], columns: tuple[Column, ...]
) -> Iterator[tuple[Key, Model]]:
    for instance in queryset:
        values = (getattr(instance, column.attname) for column in columns)
        yield _key(columns, values), instance


def locked_instances(
    queryset: QuerySet[Model], columns: tuple[Column, ...]
) -> Iterator[tuple[Key, Model]]:
    """Whole rows, locked in the order of their primary keys until the transaction
    ends, where the database has row locks."""
    features = connections[queryset.db].features
    query = queryset.query
    queryset = queryset.defer(None)

    if not features.has_select_for_update:
        return instances(queryset, columns)

    if query.distinct or query.group_by is not None:
        lock(queryset)

        return instances(queryset, columns)

    return instances(_locking(queryset), columns)


def lock(queryset: QuerySet[Model]) -> None:
    """Lock these rows in the order of their primary keys until the transaction ends."""
    query = queryset.query

    if query.distinct or query.group_by is not None:
        # A row of these is no row of the table.
        rows = queryset.model._base_manager.using(queryset.db)
        queryset = rows.filter(pk__in=queryset.order_by().values("pk"))

    list(_locking(queryset).values_list("pk"))


def _locking(queryset: QuerySet[Any]) -> QuerySet[Any]:
    features = connections[queryset.db].features
    of = ("self",) if features.has_select_for_update_of else ()

    return queryset.order_by("pk").select_for_update(of=of)


def can_lock_values(queryset: QuerySet[Any]) -> bool:
    """Whether `locked_values` can read of this queryset."""
    query = queryset.query
    tables = [alias for alias, count in query.alias_refcount.items() if count]

    return not query.distinct and query.group_by is None and len(tables) <= 1


def locked_values(
    names: Sequence[str],
) -> Callable[[QuerySet[Any], tuple[Column, ...]], Iterable[tuple[Key, Sequence[Any]]]]:
    """As `locked_instances`, of these columns alone, and without instances. A row
    begins with them, in this order."""

    def read(
        queryset: QuerySet[Any], columns: tuple[Column, ...]
    ) -> Iterable[tuple[Key, Sequence[Any]]]:
        queryset = queryset.order_by("pk")

        if connections[queryset.db].features.has_select_for_update:
            queryset = queryset.select_for_update()

        wanted = [*dict.fromkeys((*names, *(c.attname for c in columns)))]
        selected = [column_of(queryset.model, name) for name in wanted]
        rows = fetched(queryset.values_list(*wanted), [*filter(None, selected)])
        parts = [
            identities(c, [*map(itemgetter(wanted.index(c.attname)), rows)])
            for c in columns
        ]

        return zip(zip(*parts, strict=True), rows, strict=True)

    return read


def _key(columns: tuple[Column, ...], values: Iterable[Any]) -> Key:
    return tuple(map(cols.identity, columns, values))
