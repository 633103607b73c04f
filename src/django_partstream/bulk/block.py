"""Rows that were read together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from .row import Row

if TYPE_CHECKING:
    from .outcome import RowError

__all__ = ("Block",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block(Sequence[Row]):
    """Rows in the order of the input, without an object for each until one is asked
    for."""

    #: The number of the first.
    first: int
    #: What each of them is.
    values: Sequence[Any]
    #: The first physical line of each, where the format has lines.
    lines: Sequence[int | None] | None = None
    #: What is wrong with the form of some, by index.
    errors: dict[int, tuple[RowError, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Block:
        """The same rows in a block, if they are in none."""
        if isinstance(rows, Block):
            return rows

        return cls(
            first=rows[0].number if rows else 1,
            values=[row.data for row in rows],
            lines=[row.line for row in rows],
            errors={index: row.errors for index, row in enumerate(rows) if row.errors},
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]

        if index < 0:
            index += len(self)

        return Row(
            number=self.first + index,
            line=self.lines[index] if self.lines is not None else None,
            data=self.values[index],
            errors=self.errors.get(index, ()),
        )

    def part(self, start: int, end: int) -> Block:
        """The rows from one index to before another."""
        return Block(
            first=self.first + start,
            values=self.values[start:end],
            lines=self.lines and self.lines[start:end],
            errors={
                index - start: errors
                for index, errors in self.errors.items()
                if start <= index < end
            },
        )
