"""Rows that have one of many keys, as a condition that the ORM takes.

For keys of several columns Django knows but `(a = 1 AND b = 2) OR …`, which takes
longer to build than the rows take to be found.
"""

from __future__ import annotations

import json
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, Expression, F, Q

from . import columns as cols
from .arrays import values_of
from .prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .columns import Column

__all__ = ("among", "takes_all")

#: Kinds of columns that SQLite compares as the integers or texts that they are.
IN_JSON = frozenset(
    {
        "AutoField",
        "BigAutoField",
        "BigIntegerField",
        "BooleanField",
        "CharField",
        "DateField",
        "DateTimeField",
        "IntegerField",
        "PositiveBigIntegerField",
        "PositiveIntegerField",
        "PositiveSmallIntegerField",
        "SlugField",
        "SmallAutoField",
        "SmallIntegerField",
        "TextField",
        "UUIDField",
    }
)


def among(
    columns: Sequence[Column], keys: Sequence[Any], connection: BaseDatabaseWrapper
) -> Any:
    """A condition for `filter()`: the columns' values are one of these keys. A null is
    equal to a null."""
    if any(column.null for column in columns) and any(None in key for key in keys):
        return _with_nulls(columns, keys, connection)

    if connection.vendor == "postgresql" and all(
        cols.has_array(column, connection) for column in columns
    ):
        return _AmongArrays(columns, keys)

    if connection.vendor == "sqlite" and all(map(_is_told_in_json, columns)):
        return _AmongJson(columns, keys)

    if len(columns) == 1:
        return Q(**{f"{columns[0].attname}__in": [value for (value,) in keys]})

    if connection.vendor in ("mysql", "sqlite"):
        return _AmongRows(columns, keys)

    return _grouped(columns, keys)


def _with_nulls(
    columns: Sequence[Column], keys: Sequence[Any], connection: BaseDatabaseWrapper
) -> Q:
    """Keys that have their nulls in the same places are asked for together."""
    groups: dict[tuple[bool, ...], list[Any]] = {}

    for key in keys:
        groups.setdefault(tuple(part is None for part in key), []).append(key)

    condition = Q()

    for are_null, group in groups.items():
        null = [c for c, is_null in zip(columns, are_null, strict=True) if is_null]
        rest = [c for c in columns if c not in null]
        term = Q(**{f"{column.attname}__isnull": True for column in null})

        if rest:
            places = [columns.index(column) for column in rest]
            given = [tuple(key[place] for place in places) for key in group]
            term &= Q(among(rest, given, connection))

        condition |= term

    return condition


def takes_all(columns: Sequence[Column], connection: BaseDatabaseWrapper) -> bool:
    """Whether the number of keys is not bound by what parameters a statement has."""
    return connection.vendor == "sqlite" and all(map(_is_told_in_json, columns))


def _is_told_in_json(column: Column) -> bool:
    """Whether SQLite holds its values as integers or texts."""
    kind = cols.stored_column(column).get_internal_type()

    return cols.is_plain(column) and kind in IN_JSON


class _Among(Expression):
    conditional = True

    def __init__(self, columns: Sequence[Column], keys: Sequence[Any]) -> None:
        super().__init__(output_field=BooleanField())
        self._columns = columns
        self._keys = keys
        self._sources: list[Any] = [F(column.attname) for column in columns]

    # By default, all that an expression was made of is compared.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def get_source_expressions(self) -> list[Any]:
        return self._sources

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        self._sources = list(exprs)

    def as_sql(
        self, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, tuple[Any, ...]]:
        names = ", ".join(compiler.compile(source)[0] for source in self._sources)
        parts = [[*map(itemgetter(n), self._keys)] for n in range(len(self._columns))]
        given, params = self.given(parts, connection)

        return f"({names}) IN ({given})", tuple(params)

    def given(
        self, parts: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        """The keys in SQL, given by columns."""
        raise NotImplementedError


class _AmongRows(_Among):
    def given(
        self, parts: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        values = [
            prepared(column, part, connection)
            for column, part in zip(self._columns, parts, strict=True)
        ]
        row = f"({', '.join(['%s'] * len(values))})"
        rows = ", ".join([row] * len(self._keys))
        word = "VALUES " if connection.vendor == "sqlite" else ""

        return f"{word}{rows}", list(chain.from_iterable(zip(*values, strict=True)))


class _AmongArrays(_Among):
    def given(
        self, parts: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        places = ", ".join(cols.array_sql(c, connection) for c in self._columns)
        arrays = [
            values_of(column, part, connection)
            for column, part in zip(self._columns, parts, strict=True)
        ]

        return f"SELECT * FROM unnest({places})", arrays


class _AmongJson(_Among):
    """One parameter, however many keys there are."""

    def given(
        self, parts: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        values = [
            prepared(column, part, connection)
            for column, part in zip(self._columns, parts, strict=True)
        ]

        for part in values:
            _check(part)

        if len(values) == 1:
            return "SELECT value FROM json_each(%s)", [json.dumps(values[0])]

        places = (f"json_extract(value, '$[{n}]')" for n in range(len(values)))
        rows = json.dumps([*zip(*values, strict=True)])

        return f"SELECT {', '.join(places)} FROM json_each(%s)", [rows]


def _check(values: Sequence[Any]) -> None:
    """Raises OverflowError and ValueError for what JSON would tell otherwise."""
    numbers = [value for value in values if isinstance(value, int)]

    if numbers and not -(2**63) <= min(numbers) <= max(numbers) < 2**63:
        raise OverflowError("SQLite's integers have 64 bits.")

    texts = "".join(value for value in values if isinstance(value, str))

    if "\0" in texts:
        raise ValueError("A NUL ends a text in SQLite's JSON.")

    texts.encode()


def _grouped(columns: Sequence[Column], keys: Sequence[Any]) -> Q:
    """One column is compared with a list, the others with one value each: the fewest
    terms when it is the one with the most values."""
    names = [column.attname for column in columns]
    values = [len({key[index] for key in keys}) for index in range(len(names))]
    spread = values.index(max(values))
    rest = names[:spread] + names[spread + 1 :]
    groups: dict[Any, list[Any]] = {}

    for key in keys:
        fixed = key[:spread] + key[spread + 1 :]
        groups.setdefault(fixed, []).append(key[spread])

    return Q(
        *(
            Q(**dict(zip(rest, fixed, strict=True)), **{f"{names[spread]}__in": list_})
            for fixed, list_ in groups.items()
        ),
        _connector=Q.OR,
    )
