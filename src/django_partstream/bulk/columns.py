"""What a value is to its column: the facts about model fields that bulk work needs."""

from __future__ import annotations

import contextlib
import datetime
import json
import unicodedata
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

    Column = models.Field[Any, Any]

__all__ = (
    "array_sql",
    "column_of",
    "columns_by_source",
    "compares_exactly",
    "differs",
    "folded",
    "has_array",
    "holds_primary_keys",
    "identity",
    "is_plain",
    "null_sets",
    "raw",
    "stored_column",
    "unique_sets",
)

EXACT_TYPES = frozenset(
    {
        "AutoField",
        "BigAutoField",
        "BigIntegerField",
        "BooleanField",
        "DateField",
        "DateTimeField",
        "DecimalField",
        "DurationField",
        "FloatField",
        "IntegerField",
        "PositiveBigIntegerField",
        "PositiveIntegerField",
        "PositiveSmallIntegerField",
        "SmallAutoField",
        "SmallIntegerField",
        "TimeField",
        "UUIDField",
    }
)
TEXT_TYPES = frozenset({"CharField", "SlugField", "TextField"})
BINARY_COMPARISON = frozenset({"postgresql", "sqlite"})


def columns_by_source(model: type[models.Model]) -> dict[str, Column]:
    """The columns that a serializer may write, under both their names: a foreign
    key's is `account` for an object and `account_id` for its key."""
    columns: dict[str, Column] = {}

    for column in model._meta.concrete_fields:
        columns[column.attname] = column
        columns[column.name] = column

    columns["pk"] = model._meta.pk

    return columns


def column_of(model: type[models.Model], name: str) -> Column | None:
    """The concrete column of that name, or None."""
    try:
        found = model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None

    if isinstance(found, models.Field) and found.concrete and not found.many_to_many:
        return found

    return None


def stored_column(column: Column) -> Column:
    """The column whose values a foreign key holds; any other column itself."""
    while isinstance(column, models.ForeignKey):
        column = column.target_field

    return column


def holds_primary_keys(column: Column) -> bool:
    """Whether objects that the column refers to are equal just when its values are.
    So they are for any column that refers to none."""
    if not column.is_relation:
        return True

    return isinstance(column, models.ForeignKey) and column.target_field.primary_key


def is_plain(column: Column) -> bool:
    """Whether the column is of a kind whose values we may look up many at a time,
    in Django's own words: numbers, texts, dates and UUIDs."""
    column = stored_column(column)
    kind = column.get_internal_type()

    return type(column).__module__.startswith("django.db.models.") and (
        kind in EXACT_TYPES or kind in TEXT_TYPES
    )


def compares_exactly(column: Column, connection: BaseDatabaseWrapper) -> bool:
    """Whether two values are equal in the database just when they are in Python.
    Texts are not, where a collation says otherwise."""
    column = stored_column(column)
    kind = column.get_internal_type()

    if kind in EXACT_TYPES:
        return True

    db_type = column.db_type(connection) or ""

    return (
        kind in TEXT_TYPES
        and connection.vendor in BINARY_COMPARISON
        and not getattr(column, "db_collation", None)
        and db_type.startswith(("varchar", "text", "char"))
    )


def has_array(column: Column, connection: BaseDatabaseWrapper) -> bool:
    """Whether PostgreSQL has arrays of what the column holds."""
    kind = stored_column(column).get_internal_type()

    return kind in connection.data_types and not hasattr(column, "get_placeholder")


def array_sql(column: Column, connection: BaseDatabaseWrapper) -> str:
    """The place of a parameter that is a whole column of values."""
    # Without its length: a cast to varchar(3) cuts longer texts off in silence.
    db_type = (column.db_type(connection) or "").partition("(")[0]

    return f"%s::{db_type}[]"


def raw(column: Column, value: Any) -> Any:
    """What the column holds for this value: of a related object, its key."""
    if isinstance(value, models.Model) and isinstance(column, models.ForeignKey):
        return getattr(value, column.target_field.attname)

    return value


def identity(column: Column, value: Any) -> Hashable:
    """Equal for values that are equal in Python, and hashable."""
    value = _settled(raw(column, value))

    try:
        hash(value)
    except TypeError:
        return repr(value)

    return value  # type: ignore[no-any-return]


def folded(part: Any) -> Any:
    """Equal for texts that a collation may take for equal."""
    if not isinstance(part, str):
        return part

    letters = unicodedata.normalize("NFKD", part.casefold())

    return "".join(c for c in letters if not unicodedata.combining(c)).strip()


def differs(column: Column, stored: Any, value: Any) -> bool:
    """Whether writing the value would change what is stored."""
    if isinstance(column, models.JSONField):
        # In Python 1, 1.0 and True are equal.
        return _canonical(column, stored) != _canonical(column, value)

    return bool(_settled(stored) != _settled(value))


def _settled(value: Any) -> Any:
    """A moment in UTC. In another zone, one in the hour that the clocks skip or repeat
    is equal to no moment in UTC, not even to itself (PEP 495)."""
    if isinstance(value, datetime.datetime) and value.tzinfo not in (
        None,
        datetime.UTC,
    ):
        # At the ends of the calendar there may be none.
        with contextlib.suppress(OverflowError):
            return value.astimezone(datetime.UTC)

    return value


def _canonical(column: models.JSONField[Any, Any], value: Any) -> str:
    return json.dumps(value, cls=column.encoder, sort_keys=True)


def unique_sets(model: type[models.Model]) -> Iterator[tuple[Column, ...]]:
    """The sets of columns that identify a row: the primary key, and every unique
    constraint without a condition or an expression. May name one twice."""
    meta = model._meta
    yield _columns(model, [column.name for column in meta.pk_fields])

    for column in meta.concrete_fields:
        if column.unique:
            yield (column,)

    for owner in (model, *meta.all_parents):
        for names in owner._meta.unique_together:
            yield _columns(model, names)

    for constraint in _unique_constraints(model):
        yield _columns(model, constraint.fields)


def null_sets(model: type[models.Model]) -> Iterator[tuple[Column, ...]]:
    """Those unique sets of which the model says that nulls are equal to each other.

    Where a database cannot say so (Django's check W047), validation does.
    """
    for constraint in _unique_constraints(model):
        if constraint.nulls_distinct is False:
            yield _columns(model, constraint.fields)


def _unique_constraints(
    model: type[models.Model],
) -> Iterator[models.UniqueConstraint]:
    """Those without a condition or an expression."""
    for owner in (model, *model._meta.all_parents):
        for constraint in owner._meta.constraints:
            if (
                isinstance(constraint, models.UniqueConstraint)
                and constraint.fields
                and constraint.condition is None
            ):
                yield constraint


def _columns(model: type[models.Model], names: Any) -> tuple[Column, ...]:
    by_source = columns_by_source(model)

    return tuple(by_source[name] for name in names)
