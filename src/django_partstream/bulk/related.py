"""Related objects of a batch: one query for each relation field, instead of one for
each row."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Manager, QuerySet
from rest_framework.fields import empty
from rest_framework.relations import ManyRelatedField
from rest_framework.validators import UniqueValidator

from . import columns as cols
from .compiled.fields import related_kind, stock_kind
from .compiled.reading import UNSURE, Reading
from .matching import Finder, Found, instances
from .relating import SCALARS, UNREADABLE, relating_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columns import Column
    from .relating import Relating
    from .watch import TableWatch

__all__ = ("Relations", "Snapshot")

#: Objects of one field that are kept from block to block.
MAX_KEPT = 10_000
NOTHING_FOUND: Found[Any] = Found({}, frozenset())


class Relations:
    """What the related fields of a batch refer to.

    Fields that were `attach`ed find it here. A value that is no plain key, a field
    that looks elsewhere, or a queryset that differs from row to row falls through to
    the stock query, so that errors are DRF's own.
    """

    def __init__(self, watch: TableWatch) -> None:
        self._watch = watch
        self._loaded: dict[str, _Related] = {}
        #: What was loaded before in this transaction; None where nobody says when one
        #: begins.
        self._before: dict[str, _Related] | None = None
        #: What was asked for before that, by field: it is likely to come again.
        self._likely: dict[str, set[Any]] = {}

    def begin(self) -> None:
        """Look up everything anew, what was found before with the first rows; from here
        on, what was found is kept."""
        found = {**(self._before or {}), **self._loaded}
        self._likely = {name: related.keys() for name, related in found.items()}
        self._loaded, self._before = {}, {}

    def attach(self, serializer: Serializer[Any]) -> None:
        """Let the serializer's related fields ask here first."""
        for relating in relating_fields(serializer):
            self._attach(relating)

    def _attach(self, relating: Relating) -> None:
        stock, name = relating.relation.get_queryset, relating.name

        def get_queryset() -> Any:
            related = self._loaded.get(name)

            if related is None:
                return stock()

            if related.is_constant:
                return _Answers(related.queryset.all, related)

            # Asked for every row, as by DRF: it looks at the row.
            queryset = stock()

            if related.fingerprint != _fingerprint(queryset):
                return queryset

            return _Answers(lambda: queryset, related)

        relating.relation.get_queryset = get_queryset

    def load(
        self,
        serializer: Serializer[Any],
        rows: Sequence[Any],
        cells: Callable[[str], Sequence[Any] | None] = lambda _: None,
    ) -> None:
        """Look up what these rows refer to: at most one query a field. `cells` tells
        what all of them have for a field."""
        if self._before is not None:
            self._before |= self._loaded

        self._loaded = {}

        for relating in relating_fields(serializer):
            self._load(relating, rows, cells(relating.name))

    def known(self) -> Snapshot | None:
        """What has been found in this transaction, for other threads; None where nobody
        says when one begins."""
        if self._before is None:
            return None

        return Snapshot(self._before, self._loaded.copy())

    def holds(self, known: Snapshot) -> bool:
        """Whether it was found in this very transaction."""
        return known.transaction is self._before

    def reading(self, field: Any) -> Reading | None:
        """How to read a stock field's column, now that all is loaded."""
        return _reading(field, self._loaded.get(field.field_name))

    def _load(
        self, relating: Relating, rows: Sequence[Any], cells: Sequence[Any] | None
    ) -> None:
        queryset, is_constant = relating.queryset()

        if isinstance(queryset, Manager):
            queryset = queryset.all()

        fingerprint = _fingerprint(queryset)

        if fingerprint is None or self._watch.is_written(queryset.model):
            return

        column = cols.column_of(queryset.model, relating.lookup)

        if column is None or not cols.is_plain(column):
            return

        related = _Related(relating, queryset, column)
        related.is_constant, related.fingerprint = is_constant, fingerprint

        with self._watch.watching():
            related.load(
                relating.given(rows, cells),
                (self._before or {}).get(relating.name),
                self._likely.pop(relating.name, ()),
            )

        # Its filter reads the table that is being written: what it lets through may
        # change from row to row.
        if not self._watch.hit:
            self._loaded[relating.name] = related


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found for the last rows of a transaction."""

    #: The same object for as long as it lasts.
    transaction: Any
    _loaded: dict[str, _Related]

    def reading(self, field: Any) -> Reading | None:
        """As that of `Relations`, where it needs nobody else."""
        related = self._loaded.get(field.field_name)

        if related is None or related.relating.is_many or related.relating.is_address:
            return None

        return _reading(field, related)


def _reading(field: Any, related: _Related | None) -> Reading | None:
    if related is None or not related.is_constant:
        return None

    relating = related.relating

    if related_kind(type(relating.relation)) is None:
        return None

    if relating.is_many:
        return _of_many(field, related)

    if getattr(field, "pk_field", None) is not None or not all(
        type(v) is UniqueValidator for v in field.validators
    ):
        return None

    null = None if field.allow_null else UNSURE

    def of_key(value: Any) -> Any:
        return related.found(value)

    def of_text(value: str) -> Any:
        return related.found(value) if value else null

    if relating.is_address:
        return Reading(one={str: of_text}, null=null)

    return Reading(one={float: of_key, int: of_key, str: of_text}, null=null)


def _of_many(field: Any, related: _Related) -> Reading | None:
    if stock_kind(type(field)) is not ManyRelatedField or field.validators:
        return None

    if getattr(related.relating.relation, "pk_field", None) is not None:
        return None

    def of_list(cell: list[Any]) -> Any:
        objects = [related.found(item) for item in cell]

        if (not objects and not field.allow_empty) or UNSURE in objects:
            return UNSURE

        return objects

    return Reading(one={list: of_list}, null=None if field.allow_null else UNSURE)


class _Related:
    """The objects of one queryset that a batch refers to."""

    def __init__(
        self, relating: Relating, queryset: QuerySet[Any], column: Column
    ) -> None:
        self.relating = relating
        self.queryset = queryset
        self.lookup = relating.lookup
        #: Whether it is this queryset for every row; else, for those of which the
        #: field gives an equal one.
        self.is_constant = True
        self.fingerprint: Any = None
        self._column = column
        self._to_python = cols.stored_column(column).to_python
        self._objects: dict[Any, Model] = {}
        self._absent: set[Any] = set()

    def keys(self) -> set[Any]:
        """Of the objects, if they are not too many."""
        return {*self._objects} if len(self._objects) <= MAX_KEPT else set()

    def load(
        self,
        values: Iterator[Any],
        before: _Related | None = None,
        likely: Iterable[Any] = (),
    ) -> None:
        """Look up what is not among the objects of `before`, if it looked there; and
        the `likely` keys."""
        keys = {(key,) for value in values if (key := self._key(value)) is not empty}
        keys.update((key,) for key in likely)
        known = self._known(before)
        left = {key for key in keys if key[0] not in known}
        finder = Finder(self.queryset, (self._column,), instances)
        found = finder.find(left) if left else NOTHING_FOUND
        self._absent = {key for (key,) in left - found.rows.keys() - found.unknown}
        # Several for one key are DRF's to complain about.
        self._objects = known | {
            key: rows[0] for (key,), rows in found.rows.items() if len(rows) == 1
        }

    def _known(self, before: _Related | None) -> dict[Any, Model]:
        if (
            before is None
            or not (self.is_constant and before.is_constant)
            or self.fingerprint != before.fingerprint
            or len(before._objects) > MAX_KEPT
        ):
            return {}

        return before._objects

    def answer(self, value: Any) -> Any:
        """The object; `empty` where only the database can tell. Raises
        DoesNotExist."""
        key = self._key(value)

        if key in self._absent:
            raise self.queryset.model.DoesNotExist

        return self._objects.get(key, empty)

    def found(self, given: Any) -> Any:
        """The object for what a row has, or UNSURE."""
        if isinstance(given, bool) or not isinstance(given, SCALARS):
            return UNSURE

        return self._objects.get(self._key(self.relating.key(given)), UNSURE)

    def _key(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, SCALARS):
            return empty

        try:
            return self._to_python(value)
        except UNREADABLE:
            return empty


class _Answers:
    """Stands for a queryset: `get` is answered from the batch, all else by the real
    one."""

    def __init__(self, real: Any, related: _Related) -> None:
        self._real = real
        self._related = related

    def get(self, *args: Any, **kwargs: Any) -> Any:
        if not args and list(kwargs) == [self._related.lookup]:
            answer = self._related.answer(kwargs[self._related.lookup])

            if answer is not empty:
                return answer

        return self._real().get(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


def _fingerprint(queryset: Any) -> Any:
    """Equal for querysets that give the same rows; None where that cannot be told."""
    if not isinstance(queryset, QuerySet):
        return None

    try:
        sql, params = queryset.query.sql_with_params()
    except EmptyResultSet:
        return None

    return queryset.db, sql, repr(params)
