"""Rows that have the same members, kept by columns."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, overload

from .compiled.reading import ABSENT, read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .compiled.reading import Reading
    from .ready import Ready

__all__ = ("Columnar", "columnar", "members", "transposed")


class Columnar(Sequence[dict[str, Any]]):
    """A dict for each row, made when it is asked for; ABSENT is a member that a row
    lacks."""

    __slots__ = ("_count", "_readings", "columns", "ready", "said")

    def __init__(self, columns: Mapping[str, list[Any]], count: int) -> None:
        self.columns = columns
        self._count = count
        #: What these cells of a file say, where somebody has looked already.
        self.said: Columnar | None = None
        #: What rows of these are to hold, where somebody has made them ready.
        self.ready: Ready | None = None
        self._readings: dict[str, tuple[Reading, list[Any]]] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Columnar: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Columnar:
        if isinstance(index, slice):
            return self._part(index)

        if not -self._count <= index < self._count:
            raise IndexError(index)

        return {
            name: cell
            for name, cells in self.columns.items()
            if (cell := cells[index]) is not ABSENT
        }

    def _part(self, index: slice) -> Columnar:
        some = {name: cells[index] for name, cells in self.columns.items()}
        part = Columnar(some, len(range(*index.indices(self._count))))
        part.said = self.said and self.said[index]
        part._readings = {
            name: (reading, cells[index])
            for name, (reading, cells) in self._readings.items()
        }

        return part

    def read(self, name: str, reading: Reading) -> list[Any]:
        """What a reading makes of the cells of this name; made but once."""
        known = self._readings.get(name)

        if known is None or known[0] is not reading:
            cells = self.columns.get(name)
            made = [ABSENT] * self._count if cells is None else read(reading, [*cells])
            known = self._readings[name] = reading, made

        return known[1]


def columnar(rows: Sequence[Any]) -> Columnar | None:
    """The same rows by columns; None where they are no dicts with the same members in
    the same order."""
    if {*map(type, rows)} != {dict} or len({*map(tuple, rows)}) != 1 or not rows[0]:
        return None

    return Columnar(_columns(rows), len(rows))


def transposed(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]] | None:
    """The columns of rows that have the same members; None of others."""
    if len({*map(len, rows)}) != 1:
        return None

    try:
        return _columns(rows)
    except KeyError:
        return None


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [*map(itemgetter(name), rows)] for name in rows[0]}


def members(rows: Sequence[Any], name: str) -> list[Any]:
    """What each row has under this name; None where it has nothing."""
    if isinstance(rows, Columnar):
        cells = rows.columns.get(name)

        if cells is None:
            return [None] * len(rows)

        return [None if cell is ABSENT else cell for cell in cells]

    return [row.get(name) if isinstance(row, dict) else None for row in rows]
