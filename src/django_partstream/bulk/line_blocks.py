"""Lines as a stream of blocks: what many of them are together, or else one by one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .decoding import BLOCK_BYTES, Lines
from .row import MAX_RECORD_BYTES, Position
from .stretch import NO_ROWS, Stretch, stretch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .decoding import ByteLines
    from .row import Row

__all__ = ("MOST_BYTES", "LineReader", "end_of")

#: Of lines that are read together; one record more may come.
MOST_BYTES = 1024 * 1024
#: From a record on that is not like others, so many are read one by one.
ODD_ROWS = 100


class LineReader:
    """Reads records in an encoding whose line ends are single bytes."""

    #: Together, then one by one; each a record and two of the stream's blocks too far.
    most_bytes: int | None = 2 * (MOST_BYTES + MAX_RECORD_BYTES + 2 * BLOCK_BYTES)

    def __init__(self, lines: ByteLines, encoding: str, position: Position) -> None:
        self._lines = lines
        self._encoding = encoding
        #: What has been read.
        self._at = position
        self._is_over = False

    def take(self, count: int) -> Stretch | None:
        lines = self._lines.take(count, MOST_BYTES)
        found = self._together(lines) if lines else None

        if found is not None:
            return found

        self._lines.put_back(lines)

        return self._one_by_one(min(count, ODD_ROWS))

    def _together(self, lines: list[bytes]) -> Stretch | None:
        """The records that end in these lines; None where they must be looked at one
        by one. Lines that were not needed are put back."""
        raise NotImplementedError

    def _records(
        self, lines: Lines, texts: Iterator[str], number: int
    ) -> Iterator[tuple[Row, Position]]:
        """The rows after so many, of `texts`, which come out of `lines`."""
        raise NotImplementedError

    def _one_by_one(self, count: int) -> Stretch | None:
        at = self._at
        lines = Lines(self._lines, self._encoding, offset=at.offset, number=at.line)
        rows = self._records(lines, self._some(lines), at.row)
        found = [*itertools.islice(rows, count)]
        self._at = Position(
            offset=lines.offset, row=at.row + len(found), line=lines.number
        )

        if found:
            return stretch_of(found)

        return None if self._is_over else NO_ROWS

    def _some(self, lines: Lines) -> Iterator[str]:
        """Lines up to the end of the record with which there are many bytes."""
        before = lines.offset
        pulled = iter(lines)

        while lines.pulled or lines.offset - before < MOST_BYTES:
            line = next(pulled, None)

            if line is None:
                self._is_over = True
                return

            yield line


def end_of(
    start: Position, sizes: Sequence[int], ends: Sequence[int], index: int
) -> Position:
    """Where a row ends, by the lines up to the end of each and the bytes of all."""
    end = ends[index]

    return Position(
        offset=start.offset + sum(sizes[:end]),
        row=start.row + index + 1,
        line=start.line + end,
    )
