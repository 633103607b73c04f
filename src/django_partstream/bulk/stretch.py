"""Rows that were read together, and readers of such."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import TYPE_CHECKING, Protocol

from .block import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .row import Position, Row

__all__ = ("NO_ROWS", "Reader", "RowReader", "Stretch", "stretch_of")


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A block, and where each of its rows ends."""

    block: Block
    #: The position after the row with this index.
    end: Callable[[int], Position]

    def __len__(self) -> int:
        return len(self.block)

    def part(self, start: int, end: int) -> Stretch:
        """The rows from one index to before another."""
        if not start and end == len(self):
            return self

        return Stretch(
            self.block.part(start, end), functools.partial(_end, self.end, start)
        )


def _no_end(index: int) -> Position:
    raise IndexError(index)


#: Some bytes, and no row in them.
NO_ROWS = Stretch(Block(first=1, values=(), wrong={}), _no_end)


def _end(end: Callable[[int], Position], start: int, index: int) -> Position:
    return end(start + index)


class Reader(Protocol):
    """Reads on and on."""

    #: The bytes of its stream that one `take` may read; None where there is no limit.
    most_bytes: int | None

    def take(self, count: int) -> Stretch | None:
        """So many rows, or fewer, even none, if they are long or odd; None after the
        last."""
        ...


class RowReader:
    """Puts rows together that are read one by one."""

    most_bytes: int | None = None

    def __init__(self, rows: Iterator[tuple[Row, Position]]) -> None:
        self._rows = rows

    def take(self, count: int) -> Stretch | None:
        found = [*itertools.islice(self._rows, count)]

        if not found:
            return None

        return stretch_of(found)


def stretch_of(found: list[tuple[Row, Position]]) -> Stretch:
    """The same rows together; at least one."""
    rows, positions = zip(*found, strict=True)

    return Stretch(Block.of(rows), positions.__getitem__)
