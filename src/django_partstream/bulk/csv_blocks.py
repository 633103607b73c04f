"""CSV as a stream of blocks, kept by columns.

What `csv_rows` says of each row, this says of many at once. Records that are not like
others are left to it.
"""

from __future__ import annotations

import csv
import functools
import itertools
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from .block import Block
from .columnar import Columnar
from .compiled.reading import ABSENT
from .csv_rows import dialect_of, is_blank, ragged, records
from .decoding import BLOCK_BYTES, WIDE, ByteLines, Lines, Prefixed
from .row import MAX_CELL_LENGTH, MAX_RECORD_BYTES, OWN_COLUMNS, Position, unescaped
from .stretch import NO_ROWS, RowReader, Stretch, stretch_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .decoding import Readable
    from .outcome import RowError
    from .row import Dialect
    from .stretch import Reader

__all__ = ("CSVReader", "open_csv")

#: Of lines that are read together; one record more may come.
MOST_BYTES = 1024 * 1024
#: From a record on that is not like others, so many are read one by one.
ODD_ROWS = 100


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


class CSVReader:
    """Reads records in an encoding whose line ends are single bytes."""

    #: Together, then one by one; each a record and two of the stream's blocks too far.
    most_bytes: int | None = 2 * (MOST_BYTES + MAX_RECORD_BYTES + 2 * BLOCK_BYTES)

    def __init__(self, lines: ByteLines, dialect: Dialect, position: Position) -> None:
        self._lines = lines
        self._dialect = dialect
        #: What has been read.
        self._at = position
        self._is_over = False
        # The stdlib's limit is per process; somebody may have lowered it.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))

    def take(self, count: int) -> Stretch | None:
        lines = self._lines.take(count, MOST_BYTES)
        found = self._together(lines) if lines else None

        if found is not None:
            return found

        self._lines.put_back(lines)

        return self._one_by_one(min(count, ODD_ROWS))

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
            self._dialect.encoding != "utf-8"
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

    def _one_by_one(self, count: int) -> Stretch | None:
        at = self._at
        lines = Lines(
            self._lines, self._dialect.encoding, offset=at.offset, number=at.line
        )
        rows = records(lines, self._some(lines), self._dialect, at.row)
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

    def _together(self, lines: list[bytes]) -> Stretch | None:
        """The records that end in these lines; None where they must be looked at one
        by one. Lines that were not needed are put back."""
        sizes = [*map(len, lines)]

        if max(sizes) > MAX_CELL_LENGTH or any(b"\0" in line for line in lines):
            return None

        encoding = self._dialect.encoding

        try:
            texts = [str(line, encoding) for line in lines]
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
            functools.partial(_end, start, sizes, ends),
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


def _end(
    start: Position, sizes: list[int], ends: Sequence[int], index: int
) -> Position:
    end = ends[index]

    return Position(
        offset=start.offset + sum(sizes[:end]),
        row=start.row + index + 1,
        line=start.line + end,
    )
