"""Uniqueness checks of whole columns: which key each row asks for."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import uuid
import zoneinfo
from types import NoneType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from django_partstream.bulk import columns as cols

from .reading import ABSENT, Absent, Unsure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import Model

    from django_partstream.bulk.columns import Column

__all__ = (
    "Together",
    "field_keys",
    "identities",
    "keys_of_columns",
    "together_keys",
)

# Of these, the value is its own identity.
PLAIN = frozenset(
    {
        Absent,
        NoneType,
        Unsure,
        bool,
        datetime.date,
        datetime.timedelta,
        decimal.Decimal,
        float,
        int,
        str,
        uuid.UUID,
    }
)


MOMENTS = frozenset({Absent, NoneType, Unsure, datetime.datetime})
#: The zones of moments that are equal just when they are the same.
COMPARED_AS_THEY_ARE = frozenset({None, datetime.UTC, zoneinfo.ZoneInfo("UTC")})


@dataclasses.dataclass(frozen=True, slots=True)
class Together:
    """A validator of rows that asks whether these sources have their values already."""

    #: What is asked; None where the answer is known to be no.
    check: Any
    #: Those of the key, then others that the row must have.
    sources: tuple[str, ...]
    columns: tuple[Column, ...]
    #: How many of them are the key's.
    width: int
    #: Whether a stored row asks even if nothing of it changes, and nulls are for the
    #: validator itself.
    is_always_asked: bool = False


def identities(column: Column, cells: Sequence[Any]) -> Sequence[Any]:
    """Equal for values that are equal in Python, and hashable."""
    if {*map(type, cells)} <= PLAIN:
        return cells

    if {*map(type, cells)} <= MOMENTS:
        if {getattr(cell, "tzinfo", None) for cell in cells} <= COMPARED_AS_THEY_ARE:
            return cells

        with contextlib.suppress(OverflowError):
            return [
                cell.astimezone(datetime.UTC)
                if type(cell) is datetime.datetime and cell.tzinfo is not None
                else cell
                for cell in cells
            ]

    # Rows with the same cell share what it was read as.
    places = [*map(id, cells)]
    made = {
        place: cell if type(cell) in PLAIN else cols.identity(column, cell)
        for place, cell in dict(zip(places, cells, strict=True)).items()
    }

    return [*map(made.__getitem__, places)]


def field_keys(
    column: Column, cells: Sequence[Any], *, is_blank_exempt: bool
) -> list[tuple[Any] | None]:
    """The key that each row asks for; None where its field runs no validators."""
    exempt = (None, ABSENT, "") if is_blank_exempt else (None, ABSENT)
    found = identities(column, cells)

    if {*map(type, cells)}.isdisjoint((Absent, NoneType)) and "" not in exempt:
        return [(value,) for value in found]

    return [
        None if any(value is e for e in exempt[:2]) or value in exempt[2:] else (value,)
        for value in found
    ]


def together_keys(
    rule: Together,
    cells: Sequence[Sequence[Any]],
    instances: Iterable[Model | SimpleNamespace | None],
) -> tuple[list[tuple[Any, ...] | None], list[int]]:
    """The keys; and the rows, by index, of which the validator itself must tell."""
    columns, width = rule.columns, rule.width
    given = [
        identities(column, part) if column.is_relation else part
        for column, part in zip(columns, cells, strict=True)
    ]
    found = [identities(c, part) for c, part in zip(columns, given, strict=True)]
    keys: list[tuple[Any, ...] | None] = []
    unsure: list[int] = []
    rows = zip(zip(*found, strict=True), zip(*given, strict=True), strict=True)

    for index, ((key, values), instance) in enumerate(
        zip(rows, instances, strict=True)
    ):
        asked: tuple[Any, ...] | None = key

        if instance is not None and not rule.is_always_asked:
            asked = _resolved(columns, key, values, instance)

        if asked is None:
            keys.append(None)
        elif ABSENT in asked or (rule.is_always_asked and None in asked):
            keys.append(None)
            unsure.append(index)
        elif None in asked[:width]:
            # DRF's releases differ about nulls in stored rows.
            keys.append(None)

            if instance is not None:
                unsure.append(index)
        else:
            keys.append(asked[:width])

    return keys, unsure


def keys_of_columns(
    rule: Together,
    cells: Sequence[Sequence[Any]],
    stored: Mapping[str, Sequence[Any]] | None,
) -> tuple[list[tuple[Any, ...] | None], list[int]]:
    """As `together_keys`, of rows that are all new or all change what is stored."""
    if stored is None:
        kinds = {kind for part in cells for kind in map(type, part)}

        if kinds.isdisjoint((Absent, NoneType, Unsure)):
            found = [
                identities(column, part)
                for column, part in zip(rule.columns, cells, strict=True)
            ]

            return [*zip(*found[: rule.width], strict=True)], []

        return together_keys(rule, cells, [None] * len(cells[0]))

    changed: set[int] = set()

    for column, part in zip(rule.columns, cells, strict=True):
        given = identities(column, part) if column.is_relation else part
        changed.update(
            index
            for index, (new, old) in enumerate(
                zip(given, stored[column.attname], strict=True)
            )
            if new is not ABSENT and new != old
        )

    keys: list[tuple[Any, ...] | None] = [None] * len(cells[0])

    if not changed and not rule.is_always_asked:
        return keys, []

    some = range(len(keys)) if rule.is_always_asked else sorted(changed)
    instances = [
        SimpleNamespace(**{name: column[index] for name, column in stored.items()})
        for index in some
    ]
    asked, unsure = together_keys(
        rule, [[part[index] for index in some] for part in cells], instances
    )

    for index, key in zip(some, asked, strict=True):
        keys[index] = key

    return keys, [some[nth] for nth in unsure]


def _resolved(
    columns: Sequence[Column],
    key: tuple[Any, ...],
    values: tuple[Any, ...],
    instance: Model | SimpleNamespace,
) -> tuple[Any, ...] | None:
    """What the stored row would have; None where nothing of it changes."""
    stored = [getattr(instance, column.attname) for column in columns]

    if all(
        new is ABSENT or new == old for new, old in zip(values, stored, strict=True)
    ):
        return None

    return tuple(
        cols.identity(column, old) if new is ABSENT else new
        for column, old, new in zip(columns, stored, key, strict=True)
    )
