"""Rows that were read together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from .json_values import not_an_object
from .row import Row

if TYPE_CHECKING:
    from .outcome import RowError

__all__ = ("Block",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Block(Sequence[Row]):
    """Rows in the order of the input, without an object for each until one is asked
    for."""

    #: The number of the first.
    first: int
    #: What each of them is.
    values: Sequence[Any]
    #: The first physical line of each, where the format has lines.
    lines: Sequence[int | None] | None = None
    #: What is wrong with the form of some, by index; None where it is only that they
    #: are no objects.
    wrong: dict[int, tuple[RowError, ...]] | None = None

    @functools.cached_property
    def errors(self) -> dict[int, tuple[RowError, ...]]:
        """What is wrong with the form of some, by index."""
        if self.wrong is not None:
            return self.wrong

        if {*map(type, self.values)} <= {dict}:
            return {}

        # It is the same for all values of a type.
        some = {type(value): value for value in self.values}
        told = {kind: not_an_object(value) for kind, value in some.items()}

        return {
            index: errors
            for index, value in enumerate(self.values)
            if (errors := told[type(value)])
        }

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Block:
        """The same rows in a block, if they are in none."""
        if isinstance(rows, Block):
            return rows

        return cls(
            first=rows[0].number if rows else 1,
            values=[row.data for row in rows],
            lines=[row.line for row in rows],
            wrong={index: row.errors for index, row in enumerate(rows) if row.errors},
        )

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Blocks that follow each other, as one."""
        if len(blocks) == 1:
            return blocks[0]

        wrong: dict[int, tuple[RowError, ...]] = {}
        values: list[Any] = []
        lines: list[int | None] = []
        is_known = any(block.wrong is not None for block in blocks)

        for block in blocks:
            if is_known:
                wrong |= {len(values) + i: errors for i, errors in block.errors.items()}

            values += block.values
            lines += block.lines or [None] * len(block)

        return cls(
            first=blocks[0].first,
            values=values,
            lines=lines,
            wrong=wrong if is_known else None,
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
            wrong=None
            if self.wrong is None
            else {
                index - start: errors
                for index, errors in self.wrong.items()
                if start <= index < end
            },
        )
