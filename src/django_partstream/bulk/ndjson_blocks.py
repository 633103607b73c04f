"""NDJSON as a stream of blocks.

What `ndjson_rows` says of each line, this says of many at once. Lines that are not
like others are left to it.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from .block import Block
from .columnar import columnar
from .decoding import BLOCK_BYTES, ByteLines, Lines
from .json_values import ConstantError, decode, not_an_object
from .ndjson_rows import rows_of_lines, unwrapped
from .row import MAX_RECORD_BYTES, Position
from .stretch import NO_ROWS, Stretch, stretch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("NDJSONReader",)

#: Of lines that are read together; one more may come.
MOST_BYTES = 1024 * 1024
#: From a line on that is not like others, so many are read one by one.
ODD_ROWS = 100


class NDJSONReader:
    """Reads lines in an encoding whose line ends are single bytes."""

    #: Together, then one by one; each a line and two of the stream's blocks too far.
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

    def _one_by_one(self, count: int) -> Stretch | None:
        at = self._at
        lines = Lines(self._lines, self._encoding, offset=at.offset, number=at.line)
        rows = rows_of_lines(lines, self._some(lines), at.row)
        found = [*itertools.islice(rows, count)]
        self._at = Position(
            offset=lines.offset, row=at.row + len(found), line=lines.number
        )

        if found:
            return stretch_of(found)

        return None if self._is_over else NO_ROWS

    def _some(self, lines: Lines) -> Iterator[str]:
        """Lines up to the one with which there are many bytes."""
        before = lines.offset
        pulled = iter(lines)

        while lines.offset - before < MOST_BYTES:
            line = next(pulled, None)

            if line is None:
                self._is_over = True
                return

            yield line

    def _together(self, lines: list[bytes]) -> Stretch | None:
        """The rows of these lines; None where they must be looked at one by one."""
        sizes = [*map(len, lines)]

        if max(sizes) > MAX_RECORD_BYTES:
            return None

        try:
            texts = [str(line, self._encoding) for line in lines]
            ends = [end for end, text in enumerate(texts, start=1) if text.strip()]
            values = [decode(texts[end - 1]) for end in ends]
        except (ConstantError, RecursionError, ValueError):
            return None

        start = self._at
        self._at = Position(
            offset=start.offset + sum(sizes),
            row=start.row + len(values),
            line=start.line + len(lines),
        )

        if not values:
            return NO_ROWS

        return Stretch(
            _block(start, [*map(unwrapped, values)], ends),
            functools.partial(_end, start, sizes, ends),
        )


def _block(start: Position, values: list[Any], ends: Sequence[int]) -> Block:
    return Block(
        first=start.row + 1,
        values=columnar(values) or values,
        lines=[start.line + end for end in ends],
        wrong={
            index: errors
            for index, value in enumerate(values)
            if (errors := not_an_object(value))
        },
    )


def _end(
    start: Position, sizes: list[int], ends: Sequence[int], index: int
) -> Position:
    end = ends[index]

    return Position(
        offset=start.offset + sum(sizes[:end]),
        row=start.row + index + 1,
        line=start.line + end,
    )
