"""Rows that have the same members, kept by columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from .compiled.reading import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Columnar", "members")


class Columnar(Sequence[dict[str, Any]]):
    """A dict for each row, made when it is asked for; ABSENT is a member that a row
    lacks."""

    __slots__ = ("_count", "columns")

    def __init__(self, columns: Mapping[str, list[Any]], count: int) -> None:
        self.columns = columns
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Columnar: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Columnar:
        if isinstance(index, slice):
            some = {name: cells[index] for name, cells in self.columns.items()}

            return Columnar(some, len(range(*index.indices(self._count))))

        if not -self._count <= index < self._count:
            raise IndexError(index)

        return {
            name: cell
            for name, cells in self.columns.items()
            if (cell := cells[index]) is not ABSENT
        }


def members(rows: Sequence[Any], name: str) -> list[Any]:
    """What each row has under this name; None where it has nothing."""
    if isinstance(rows, Columnar):
        cells = rows.columns.get(name)

        if cells is None:
            return [None] * len(rows)

        return [None if cell is ABSENT else cell for cell in cells]

    return [row.get(name) if isinstance(row, dict) else None for row in rows]
