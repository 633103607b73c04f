"""NDJSON as a stream of blocks.

What `ndjson_rows` says of each line, this says of many at once. Lines that are not
like others are left to it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .block import Block
from .columnar import columnar
from .json_values import ConstantError, decode, not_an_object
from .line_blocks import LineReader, end_of
from .ndjson_rows import rows_of_lines, unwrapped
from .row import MAX_RECORD_BYTES, Position
from .stretch import NO_ROWS, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .decoding import Lines
    from .row import Row

__all__ = ("NDJSONReader",)


class NDJSONReader(LineReader):
    """Reads a value a line, by columns where all have the same members."""

    def _records(
        self, lines: Lines, texts: Iterator[str], number: int
    ) -> Iterator[tuple[Row, Position]]:
        return rows_of_lines(lines, texts, number)

    def _together(self, lines: list[bytes]) -> Stretch | None:
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
            functools.partial(end_of, start, sizes, ends),
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
