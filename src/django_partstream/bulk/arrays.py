"""Whole columns as PostgreSQL's arrays in binary form, which nobody has to quote or
parse. Of this package's modules, this one knows psycopg."""

from __future__ import annotations

import datetime
import functools
import re
import struct
import uuid
from decimal import Decimal
from itertools import chain, repeat
from types import NoneType
from typing import TYPE_CHECKING, Any

from .prepared import prepared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .columns import Column

__all__ = (
    "TYPES",
    "ReadyColumn",
    "Values",
    "array",
    "binary_cursor",
    "bound",
    "has_binary",
    "values_of",
)

LENGTH = struct.Struct("!i").pack
NULL = LENGTH(-1)
#: Where Django puts a parameter, or a percent sign.
PLACE = re.compile("%[s%]")
#: By what a cast calls the type: its name, and the one type of values that is packed.
TYPES: dict[str, tuple[str, type]] = {
    "bigint": ("int8", int),
    "boolean": ("bool", bool),
    "date": ("date", datetime.date),
    "double precision": ("float8", float),
    "integer": ("int4", int),
    "numeric": ("numeric", Decimal),
    "smallint": ("int2", int),
    "text": ("text", str),
    "timestamp with time zone": ("timestamptz", datetime.datetime),
    "uuid": ("uuid", uuid.UUID),
    "varchar": ("varchar", str),
}
#: Integers that are packed together: the length of each, and its format.
INTEGERS = {"int2": (2, "ih"), "int4": (4, "ii"), "int8": (8, "iq")}


#: Equal values of these are the same. Not so 1.0 and 1.00.
REPEATABLE = frozenset({bool, datetime.date, str, uuid.UUID})

#: From when on, and in what, PostgreSQL counts time.
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


class _Packed:
    """A parameter in its binary form; the cast that it stands in says its type."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def has_binary(connection: BaseDatabaseWrapper) -> bool:
    """Whether `binary_cursor` and `array` are for this database."""
    if connection.vendor != "postgresql":
        return False

    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


class Values(list[Any]):
    """A whole column, as `prepared` makes it: a list to every cursor, and what `array`
    takes."""

    __slots__ = ("column",)

    def __init__(self, column: Column, given: list[Any]) -> None:
        super().__init__(given)
        self.column = column


class ReadyColumn(list[Any]):
    """A whole column with the parameter that stands for it."""

    __slots__ = ("parameter",)

    def __init__(self, cells: Sequence[Any], parameter: Any) -> None:
        super().__init__(cells)
        self.parameter = parameter


def values_of(
    column: Column, values: Sequence[Any], connection: BaseDatabaseWrapper
) -> Values:
    """The parameter for a cast to an array of the column's type. Raises what
    `get_db_prep_save` raises."""
    return Values(column, prepared(column, values, connection, in_array=True))


def array(given: Values, connection: BaseDatabaseWrapper) -> Any:
    """The same for `binary_cursor`."""
    column = given.column
    db_type = (column.db_type(connection) or "").partition("(")[0]
    name, wanted = TYPES.get(db_type, ("", object))
    kinds = {*map(type, given)}

    if not given or kinds - {NoneType} != {wanted} or not _is_packable(given, wanted):
        return given

    head = struct.pack("!iiIii", 1, NoneType in kinds, _oid(name), len(given), 1)

    # An integer of its own size for each type: psycopg would choose by the value.
    if name in INTEGERS:
        try:
            return _Packed(head + _integers(name, given, has_null=NoneType in kinds))
        except struct.error:
            # The database says what is wrong.
            return given

    if wanted is datetime.datetime:
        try:
            return _Packed(head + _moments(given, has_null=NoneType in kinds))
        except TypeError:
            # One without a zone.
            return given

    return _Packed(head + _body(given, wanted, has_null=NoneType in kinds))


def _is_packable(values: Sequence[Any], kind: type) -> bool:
    # Neither encoded nor stored: what is to be said of it is said elsewhere.
    return kind is not str or "\0" not in "".join(filter(None, values))


def _integers(name: str, values: Sequence[Any], *, has_null: bool) -> bytes:
    size, pattern = INTEGERS[name]

    if not has_null:
        cells = chain.from_iterable(zip(repeat(size), values))

        return struct.pack(f"!{pattern * len(values)}", *cells)

    pack = struct.Struct(f"!{pattern}").pack
    made = {value: pack(size, value) for value in {*values} - {None}}

    return b"".join(map({None: NULL, **made}.__getitem__, values))


def _moments(values: Sequence[Any], *, has_null: bool) -> bytes:
    # What was read of equal cells is one object.
    some = dict(zip(map(id, values), values, strict=True))
    found = [
        None if value is None else (value - EPOCH) // MICROSECOND
        for value in some.values()
    ]

    if len(some) == len(values):
        return _integers("int8", found, has_null=has_null)

    pack = struct.Struct("!iq").pack
    made = {
        place: NULL if value is None else pack(8, value)
        for place, value in zip(some, found, strict=True)
    }

    return b"".join(map(made.__getitem__, map(id, values)))


def _body(values: Sequence[Any], kind: type, *, has_null: bool) -> bytes:
    dump: Any = str.encode if kind is str else _dump(kind)
    distinct = {*values} - {None} if kind in REPEATABLE else ()

    if distinct and len(distinct) <= len(values) // 2:
        made = {value: dump(value) for value in distinct}
        whole = {value: LENGTH(len(cell)) + cell for value, cell in made.items()}

        return b"".join(map({None: NULL, **whole}.__getitem__, values))

    if has_null:
        cells = [None if value is None else dump(value) for value in values]

        return b"".join(
            NULL if cell is None else LENGTH(len(cell)) + cell for cell in cells
        )

    parts = [*map(dump, values)]
    lengths = {size: LENGTH(size) for size in {*map(len, parts)}}
    heads = map(lengths.__getitem__, map(len, parts))

    return b"".join(chain.from_iterable(zip(heads, parts, strict=True)))


EXAMPLES: dict[type, Any] = {
    bool: True,
    datetime.date: datetime.date.min,
    float: 0.0,
    Decimal: Decimal(),
    uuid.UUID: uuid.UUID(int=0),
}


def _dump(kind: type) -> Any:
    """How psycopg itself dumps one value."""
    from psycopg.adapt import PyFormat, Transformer

    return Transformer().get_dumper(EXAMPLES[kind], PyFormat.BINARY).dump


@functools.cache
def _oid(name: str) -> int:
    import psycopg

    return psycopg.adapters.types[name].oid


def binary_cursor(connection: Any) -> Any:
    """One that sends values apart from the statement, and both ways in their binary
    form."""
    import psycopg

    connection.ensure_connection()
    cursor = psycopg.Cursor(connection.connection)
    cursor.format = psycopg.pq.Format.BINARY
    cursor.adapters.register_dumper(_Packed, _packed_dumper())

    return connection._prepare_cursor(cursor)


def bound(
    sql: str, params: Sequence[Any], connection: BaseDatabaseWrapper
) -> tuple[str, list[Any]]:
    """A statement of Django's for `binary_cursor`: whole columns stay parameters, all
    else is put into it, as Django's own cursor does. (What is sent apart from a
    statement has no type where nothing says it: in `JSONObject(kind=Value("x"))`, for
    one.)"""
    from psycopg.sql import Literal

    connection.ensure_connection()
    rest = iter(params)
    columns: list[Any] = []

    def placed(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%%"

        value = next(rest)

        if type(value) is Values:
            columns.append(array(value, connection))

            return "%b"

        text: str = Literal(value).as_string(connection.connection)

        return text.replace("%", "%%")

    return PLACE.sub(placed, sql), columns


@functools.cache
def _packed_dumper() -> Any:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class PackedDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: _Packed) -> bytes:
            return obj.data

    return PackedDumper
