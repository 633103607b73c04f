"""What a database says of a table, where a model says what it should be."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import Model

    from .columns import Column

__all__ = ("NO_FACTS", "Facts", "facts_of")

OF_POSTGRESQL = """
SELECT
    c.relkind = 'r' AND NOT c.relhasrules AND NOT c.relhassubclass AND NOT EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
    ),
    (
        SELECT json_object_agg(a.attname, format_type(a.atttypid, a.atttypmod))
        FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )::text,
    (
        SELECT json_agg((
            SELECT json_agg(a.attname) FROM pg_attribute a
            WHERE a.attrelid = i.indrelid
            AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
        ))
        FROM pg_index i
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate
        AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
    )::text
FROM pg_class c WHERE c.oid = %s::regclass
"""
OF_SQLITE = """
SELECT
    NOT EXISTS (
        SELECT 1 FROM sqlite_master
        WHERE type = 'trigger' AND tbl_name = %s COLLATE NOCASE
        UNION ALL
        SELECT 1 FROM sqlite_temp_master
        WHERE type = 'trigger' AND tbl_name = %s COLLATE NOCASE
    ),
    (SELECT json_group_object(name, type) FROM pragma_table_xinfo(%s)),
    (
        SELECT json_group_array(json_array(i.name, c.name))
        FROM pragma_index_list(%s) i, pragma_index_info(i.name) c
        WHERE i."unique" AND NOT i.partial
    )
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    #: Whether nothing but a statement's own values comes into the table: it has no
    #: triggers, no rules and no partitions.
    is_plain: bool = False
    #: The type of each column, in Django's spelling.
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Columns of which no two rows have the same values, checked by each statement.
    unique: frozenset[frozenset[str]] = frozenset()

    def refuses_twins(self, columns: frozenset[Column]) -> bool:
        """Whether no second row comes into the table with the same in these."""
        return frozenset(column.column or "" for column in columns) in self.unique

    def is_as_declared(self, column: Column, using: str) -> bool:
        declared = column.db_type(connections[using])

        return declared is not None and _spelt(declared) == self.types.get(
            column.column or ""
        )


#: Of a table that cannot be asked about.
NO_FACTS = Facts()


def facts_of(model: type[Model], using: str) -> Facts:
    """What the database knows of the model's table now."""
    connection = connections[using]
    ask = {"postgresql": _of_postgresql, "sqlite": _of_sqlite}.get(connection.vendor)

    if ask is None:
        return NO_FACTS

    with connection.cursor() as cursor:
        return ask(cursor, model._meta.db_table, connection.ops.quote_name)


def _of_postgresql(cursor: Any, table: str, quote: Any) -> Facts:
    cursor.execute(OF_POSTGRESQL, [quote(table)])
    is_plain, types, unique = cursor.fetchone()

    return Facts(
        is_plain=is_plain,
        types={name: _spelt(kind) for name, kind in json.loads(types).items()},
        unique=frozenset(map(frozenset, json.loads(unique or "[]"))),
    )


def _of_sqlite(cursor: Any, table: str, _: Any) -> Facts:
    cursor.execute(OF_SQLITE, [table.replace('"', "")] * 4)
    is_plain, types, pairs = cursor.fetchone()
    indexes: dict[str, set[Any]] = {}

    for index, column in json.loads(pairs):
        indexes.setdefault(index, set()).add(column)

    return Facts(
        is_plain=bool(is_plain),
        types={name: _spelt(kind) for name, kind in json.loads(types).items()},
        # A column without a name is an expression.
        unique=frozenset(frozenset(some) for some in indexes.values() if all(some)),
    )


def _spelt(kind: str) -> str:
    """A type as both sides write it."""
    return kind.lower().replace("character varying", "varchar").replace(", ", ",")
