"""The cells of a batch, as one serializer's fields read them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django_partstream.bulk.columnar import Columnar, transposed

from .reading import ABSENT, UNSURE, Absent, Unsure, read
from .shape import Blank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .reading import Reading
    from .shape import FieldShape, Shape

__all__ = ("Sheet",)


class Sheet:
    """Columns of a batch, each read when it is first asked for.

    `names`, if given, are the only members of rows that count. Rows that are no dicts
    have no cells: see `strange`.
    """

    def __init__(
        self,
        shape: Shape,
        rows: Sequence[Any],
        relation: Callable[[Any], Reading | None],
        names: frozenset[str] | None = None,
        like: Sheet | None = None,
    ) -> None:
        self.shape = shape
        self._relation = relation
        self._names = names
        self._like = like
        self._columns: dict[str, list[Any]] = {}
        self._unsure: dict[str, frozenset[int]] = {}

        if isinstance(rows, Columnar):
            self.strange: frozenset[int] = frozenset()
            self._rows: Sequence[Any] = rows
            self._whole: Mapping[str, Sequence[Any]] | None = rows.columns
        elif like is None:
            is_plain = {*map(type, rows)} <= {dict}
            #: The places of rows that only the serializer itself can judge.
            self.strange = (
                frozenset()
                if is_plain
                else frozenset(i for i, r in enumerate(rows) if type(r) is not dict)
            )
            self._rows = (
                rows if is_plain else [r if type(r) is dict else {} for r in rows]
            )
            self._whole = transposed(self._rows)
        else:
            self.strange, self._rows = like.strange, like._rows
            self._whole = like._whole

    def column(self, field: FieldShape) -> list[Any]:
        """What each row has for this field: a value, ABSENT or UNSURE."""
        column = self._columns.get(field.name)

        if column is None:
            column = self._columns[field.name] = self._read(field)

        return column

    def unsure(self, field: FieldShape) -> frozenset[int]:
        """The places where only the stock field can tell."""
        places = self._unsure.get(field.name)

        if places is None:
            places = self._unsure[field.name] = self._doubtful(field)

        return places

    def _read(self, field: FieldShape) -> list[Any]:
        if field.is_hidden or (
            self._names is not None and field.name not in self._names
        ):
            return [ABSENT] * len(self._rows)

        if self._like is not None:
            return self._like.column(field)

        name = field.name
        reading = self._relation(field.field) if field.is_relation else field.reading

        if reading is None and field.blank is Blank.ASKED:
            return [UNSURE] * len(self._rows)

        if reading is None:
            return [c if c is ABSENT else UNSURE for c in self.cells(name)]

        # What depends on nothing but the cells, somebody may have read ahead.
        if isinstance(self._rows, Columnar) and not field.is_relation:
            return [*self._rows.read(name, reading)]

        return read(reading, self.cells(name))

    def cells(self, name: str) -> list[Any]:
        """What each row has under this name, or ABSENT."""
        if self._whole is None:
            return [row.get(name, ABSENT) for row in self._rows]

        if name not in self._whole:
            return [ABSENT] * len(self._rows)

        return [*self._whole[name]]

    def _doubtful(self, field: FieldShape) -> frozenset[int]:
        column = self.column(field)
        kinds = {*map(type, column)}
        doubtful: set[type] = {Unsure}

        if field.blank is Blank.ASKED:
            doubtful.add(Absent)

        if kinds.isdisjoint(doubtful):
            return frozenset()

        return frozenset(i for i, cell in enumerate(column) if type(cell) in doubtful)


def picked(column: list[Any], places: Sequence[int]) -> Sequence[Any]:
    """The cells at these places, which are in order."""
    if len(places) == len(column):
        return column

    if len(places) == 1:
        return [column[places[0]]]

    return itemgetter(*places)(column) if places else ()


def filled(field: FieldShape, cells: Iterable[Any]) -> Sequence[Any]:
    """With defaults; ABSENT is what stays without a value."""
    if field.blank is not Blank.CONSTANT:
        return cells if isinstance(cells, list | tuple) else list(cells)

    default = field.default

    return [default if cell is ABSENT else cell for cell in cells]
