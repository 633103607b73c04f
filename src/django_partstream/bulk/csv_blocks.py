"""CSV as a stream of blocks, kept by columns.

What `csv_rows` says of each row, this says of many at once. Records that are not like
others are left to it.
"""

from __future__ import annotations

import csv
import functools
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from .block import Block
from .columnar import Columnar
from .compiled.reading import ABSENT
from .csv_rows import dialect_of, is_blank, ragged, records
from .decoding import WIDE, ByteLines, Lines, Prefixed
from .line_blocks import MOST_BYTES, LineReader, end_of
from .row import MAX_CELL_LENGTH, MAX_RECORD_BYTES, OWN_COLUMNS, Position, unescaped
from .stretch import RowReader, Stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .decoding import Readable
    from .outcome import RowError
    from .row import Dialect, Row
    from .stretch import Reader

__all__ = ("CSVReader", "open_csv")


def open_csv(
    head: bytes,
    stream: Readable,
    *,
    encoding: str,
    offset: int,
    known: Sequence[str],
    required: Sequence[str],
) -> tuple[Dialect, Reader]:
    """The dialect of a stream that begins with `head`, and its rows.

    Raises EmptyUploadError, NotCSVError and ColumnsError.
    """
    given = Prefixed(head, stream)
    source = None if encoding in WIDE else ByteLines(given)
    lines = Lines(source or given, encoding, offset=offset, number=0)
    pulled = iter(lines)
    dialect = dialect_of(
        head, lines, pulled, encoding=encoding, known=known, required=required
    )

    if source is None:
        return dialect, RowReader(records(lines, pulled, dialect, 0))

    position = Position(offset=lines.offset, line=lines.number)

    return dialect, CSVReader(source, dialect, position)


class CSVReader(LineReader):
    """Reads the records of a file, by columns."""

    def __init__(self, lines: ByteLines, dialect: Dialect, position: Position) -> None:
        super().__init__(lines, dialect.encoding, position)
        self._dialect = dialect
        # The stdlib's limit is per process; somebody may have lowered it.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))

    def pass_over(self, count: int) -> int | None:
        """Read on past so many records, or fewer, even none, and say how many they
        were; None after the last. Raises what `take` would."""
        lines = self._lines.take(count, MOST_BYTES)

        if lines and self._are_plain(lines):
            at = self._at
            self._at = Position(
                offset=at.offset + sum(map(len, lines)),
                row=at.row + len(lines),
                line=at.line + len(lines),
            )

            return len(lines)

        self._lines.put_back(lines)
        found = self.take(count)

        return None if found is None else len(found)

    def _are_plain(self, lines: list[bytes]) -> bool:
        """Whether each line is a record as wide as the header, for all that can be told
        without taking it apart."""
        text, width = b"".join(lines), len(self._dialect.columns)
        delimiter = self._dialect.delimiter.encode()

        # Elsewhere a delimiter may be half a character; alone, a cell may be no record.
        if (
            self._encoding != "utf-8"
            or width < 2
            or b'"' in text
            or b"\0" in text
            or max(map(len, lines)) > MAX_CELL_LENGTH
            or {line.count(delimiter) for line in lines} != {width - 1}
        ):
            return False

        try:
            str(text, "utf-8")
        except UnicodeDecodeError:
            return False

        return True

    def _records(
        self, lines: Lines, texts: Iterator[str], number: int
    ) -> Iterator[tuple[Row, Position]]:
        return records(lines, texts, self._dialect, number)

    def _together(self, lines: list[bytes]) -> Stretch | None:
        sizes = [*map(len, lines)]

        if max(sizes) > MAX_CELL_LENGTH or any(b"\0" in line for line in lines):
            return None

        try:
            texts = [str(line, self._encoding) for line in lines]
        except UnicodeDecodeError:
            return None

        found, ends = _parsed(texts, self._dialect.delimiter)

        if not found or (
            len(found) < len(lines) and _longest(sizes, ends) > MAX_CELL_LENGTH
        ):
            return None

        start = self._at
        read = ends[-1]
        self._at = Position(
            offset=start.offset + sum(sizes[:read]),
            row=start.row,
            line=start.line + read,
        )

        if read < len(lines):
            self._lines.put_back(lines[read:])

        return self._stretch(found, ends, start, sizes)

    def _stretch(
        self,
        found: list[list[Any]],
        ends: Sequence[int],
        start: Position,
        sizes: list[int],
    ) -> Stretch:
        width = len(self._dialect.columns)
        firsts: Sequence[int] = (
            range(start.line + 1, start.line + 1 + len(found))
            if len(found) == ends[-1]
            else [start.line + 1, *(start.line + 1 + end for end in ends[:-1])]
        )
        wrong: dict[int, tuple[RowError, ...]] = {}

        if {*map(len, found)} != {width}:
            keep = [i for i, cells in enumerate(found) if not is_blank(cells, width)]
            ends, firsts = [ends[i] for i in keep], [firsts[i] for i in keep]
            found = [found[i] for i in keep]
            wrong = {
                i: (ragged(width, len(cells)),)
                for i, cells in enumerate(found)
                if len(cells) != width
            }

            for index in wrong:
                cells = found[index][:width]
                found[index] = [*cells, *[ABSENT] * (width - len(cells))]

        self._at = Position(
            offset=self._at.offset, row=start.row + len(found), line=self._at.line
        )

        return Stretch(
            Block(
                first=start.row + 1,
                values=self._columnar(found),
                lines=firsts,
                wrong=wrong,
            ),
            functools.partial(end_of, start, sizes, ends),
        )

    def _columnar(self, found: list[list[str]]) -> Columnar:
        names = self._dialect.columns
        cells = [[*column] for column in zip(*found, strict=True)]
        columns = dict(zip(names, cells, strict=False))

        # A file of ours, corrected.
        if not OWN_COLUMNS.isdisjoint(names):
            columns = {
                name: [c if c is ABSENT else unescaped(c) for c in cells]
                for name, cells in columns.items()
                if name not in OWN_COLUMNS
            }

        return Columnar(columns, len(found))


def _parsed(lines: list[str], delimiter: str) -> tuple[list[list[str]], Sequence[int]]:
    """The records up to the first that is not whole or wrong, and how many lines there
    are up to the end of each."""
    try:
        found = [*csv.reader(lines, delimiter=delimiter, strict=True)]
    except csv.Error:
        found = []

    if len(found) == len(lines):
        return found, range(1, len(lines) + 1)

    found, ends = [], []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)

    try:
        for record in reader:
            found.append(record)
            ends.append(reader.line_num)
    except csv.Error:
        pass  # said by whoever looks at that record

    return found, ends


def _longest(sizes: list[int], ends: Sequence[int]) -> int:
    """The bytes of the longest record."""
    before = [0, *accumulate(sizes)]

    return max(before[end] - before[start] for start, end in pairwise([0, *ends]))
