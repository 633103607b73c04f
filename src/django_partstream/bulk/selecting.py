"""Rows of a query by columns: each is turned into what Python has as a whole."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connections

from .arrays import TYPES, binary_cursor, bound, has_binary
from .columns import stored_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from .columns import Column

__all__ = ("fetched",)

UTC = frozenset({datetime.UTC, zoneinfo.ZoneInfo("UTC")})


def fetched(queryset: QuerySet[Any], columns: Sequence[Column]) -> list[Sequence[Any]]:
    """The rows of `queryset.values_list(…)` of these columns."""
    connection = connections[queryset.db]
    is_binary = has_binary(connection) and all(
        _is_known(column, connection) for column in columns
    )

    if not is_binary and connection.vendor != "sqlite":
        return [*queryset]

    compiler = queryset.query.get_compiler(using=queryset.db)

    try:
        sql, params = compiler.as_sql()
    except EmptyResultSet:
        return []

    if is_binary:
        sql, params = bound(sql, params, connection)

    with binary_cursor(connection) if is_binary else connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[Sequence[Any]] = [*cursor.fetchall()]

    converters = compiler.get_converters([one for one, *_ in compiler.select])

    return _converted(rows, converters, connection) if converters and rows else rows


def _is_known(column: Column, connection: BaseDatabaseWrapper) -> bool:
    """Whether its values come in the same way in both forms."""
    db_type = (stored_column(column).db_type(connection) or "").partition("(")[0]

    return db_type in TYPES and (
        settings.USE_TZ or db_type != "timestamp with time zone"
    )


def _converted(
    rows: Sequence[Sequence[Any]],
    converters: Any,
    connection: BaseDatabaseWrapper,
) -> list[Sequence[Any]]:
    """As the compiler's `apply_converters`."""
    columns: list[Sequence[Any]] = [*zip(*rows, strict=True)]

    for place, (steps, expression) in converters.items():
        for step in steps:
            whole = _moments(columns[place], step, connection)
            columns[place] = whole or [
                step(value, expression, connection) for value in columns[place]
            ]

    return [*zip(*columns, strict=True)]


def _moments(
    values: Sequence[Any],
    step: Callable[..., Any],
    connection: BaseDatabaseWrapper,
) -> list[Any] | None:
    """What Django's step makes of SQLite's moments, all of them at once."""
    convert = getattr(connection.ops, "convert_datetimefield_value", None)
    zone = connection.timezone

    if step != convert or not settings.USE_TZ or zone not in UTC:
        return None

    parse = datetime.datetime.fromisoformat

    try:
        found = [*map(parse, values)]
    except (TypeError, ValueError):
        return None

    if {value.tzinfo for value in found} != {None}:
        return None

    return [value.replace(tzinfo=zone) for value in found]
