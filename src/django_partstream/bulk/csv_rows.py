"""CSV as a stream of rows.

A record that is wrong in itself (ragged, malformed, too long a cell) is that row's
error. A file whose records cannot be told apart is not CSV, and no row of it is read.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from django_partstream.errors import ColumnsError, EmptyUploadError, NotCSVError

from . import decoding
from .outcome import RowError
from .row import (
    MAX_CELL_LENGTH,
    MAX_RECORD_BYTES,
    OWN_COLUMNS,
    Dialect,
    Position,
    Row,
    unescaped,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .decoding import Lines, Readable

__all__ = ("dialect_of", "is_blank", "ragged", "read_csv", "records")

#: In order of preference.
DELIMITERS = (",", ";", "\t", "|")
SNIFFED_BYTES = 1024
#: What an error lists at most, and of each.
MAX_NAMES = 50
MAX_NAME_LENGTH = 80

BEGINNINGS = (
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"<", "HTML or XML"),
    (b"%PDF-", "a PDF"),
)


def dialect_of(
    head: bytes,
    lines: Lines,
    pulled: Iterator[str],
    *,
    encoding: str,
    known: Sequence[str],
    required: Sequence[str],
) -> Dialect:
    """The dialect of a file that begins with `head`, of whose lines the first are
    read.

    Raises EmptyUploadError, NotCSVError and ColumnsError.
    """
    _check_beginning(head, encoding)

    try:
        header = next((line for line in pulled if line.strip()), None)
    except decoding.RecordTooLongError as error:
        raise NotCSVError(
            f"The first line is longer than {MAX_RECORD_BYTES} bytes."
        ) from error

    if header is None:
        raise EmptyUploadError

    delimiter, names = _header(header, known)
    _check_columns(names, known, required)

    return Dialect(
        format="csv",
        encoding=encoding,
        delimiter=delimiter,
        columns=tuple(names),
        start=lines.offset,
        line=lines.number,
    )


def read_csv(
    stream: Readable, dialect: Dialect, position: Position
) -> Iterator[tuple[Row, Position]]:
    """The rows after `position`, where the stream stands."""
    lines = decoding.Lines(
        stream, dialect.encoding, offset=position.offset, number=position.line
    )

    return records(lines, iter(lines), dialect, position.row)


def _check_beginning(head: bytes, encoding: str) -> None:
    start = head[:SNIFFED_BYTES]

    if encoding not in decoding.WIDE and b"\0" in start:
        raise NotCSVError(
            "The upload is not CSV: it is binary, or UTF-16 without a byte order mark."
        )

    text = start.lstrip()

    for beginning, what in BEGINNINGS:
        if text.startswith(beginning):
            raise NotCSVError(f"The upload is not CSV: it begins like {what}.")


def _header(line: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """The delimiter under which most names are known, and the names."""
    wanted = OWN_COLUMNS.union(known)
    best = -1, "", [""]
    failure: csv.Error | None = None

    for delimiter in DELIMITERS:
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error as error:
            failure = error
            continue

        names = [cell.strip() for cell in cells]
        hits = sum(name in wanted for name in names)

        if hits > best[0]:
            best = hits, delimiter, names

    if failure is not None and best[0] < 1:
        raise NotCSVError(
            "The upload is not CSV: its first line has a stray quote."
        ) from failure

    return best[1:]


def _check_columns(
    names: list[str], known: Sequence[str], required: Sequence[str]
) -> None:
    wanted = OWN_COLUMNS.union(known)
    found = {
        "unknown": [name for name in dict.fromkeys(names) if name not in wanted],
        "missing": [name for name in required if name not in names],
        "doubled": [name for name in dict.fromkeys(names) if names.count(name) > 1],
    }

    if not any(found.values()):
        return

    beats = [
        f"{what.capitalize()} columns: {_listed(columns)}."
        for what, columns in found.items()
        if columns
    ]
    raise ColumnsError(
        f"{' '.join(beats)} Known columns: {_listed(known)}. "
        "The first line must name the columns.",
        extra={
            **{what: _clipped(columns) for what, columns in found.items()},
            "known": list(known),
        },
    )


def _clipped(names: Iterable[str]) -> list[str]:
    return [name[:MAX_NAME_LENGTH] for name in names][:MAX_NAMES]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""

    return ", ".join(map(repr, _clipped(names))) + more


def is_blank(cells: Sequence[str], width: int) -> bool:
    """Whether the record of a line says nothing and is no row."""
    return not cells or (width > 1 and len(cells) == 1 and not cells[0].strip())


def records(
    lines: Lines, pulled: Iterator[str], dialect: Dialect, number: int
) -> Iterator[tuple[Row, Position]]:
    """The rows that these lines have after the row of this number."""
    # The stdlib's limit is per process and would be met in the middle of a record;
    # ours are checked here. Somebody else may have lowered it since.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    reader = csv.reader(pulled, delimiter=dialect.delimiter, strict=True)
    columns = dialect.columns
    width = len(columns)
    own = OWN_COLUMNS.intersection(columns)

    while True:
        lines.mark()
        line = lines.number + 1
        errors: tuple[RowError, ...] = ()

        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise _endless(number + 1, line, "A quote is not closed") from error

            cells = _leniently(lines.pulled, dialect.delimiter)
            errors = (RowError("", "malformed_row", f"Malformed CSV: {error}."),)
        except decoding.RecordTooLongError as error:
            raise _endless(
                number + 1, line, f"The record is longer than {MAX_RECORD_BYTES} bytes"
            ) from error

        if is_blank(cells, width):
            continue

        number += 1

        if len(cells) != width and not errors:
            errors = (ragged(width, len(cells)),)

        data = dict(zip(columns, cells, strict=False))
        errors += _cell_errors(lines, data)

        if own:
            data = {
                name: unescaped(cell) for name, cell in data.items() if name not in own
            }

        yield (
            Row(number=number, line=line, data=data, errors=errors),
            Position(offset=lines.offset, row=number, line=lines.number),
        )


def _endless(row: int, line: int, what: str) -> NotCSVError:
    return NotCSVError(
        f"{what} in row {row}, which begins on line {line}.",
        extra={"row": row, "line": line},
    )


def _leniently(lines: Sequence[str], delimiter: str) -> list[str]:
    return next(csv.reader(lines, delimiter=delimiter), [])


def ragged(expected: int, found: int) -> RowError:
    """What is wrong with a record that has too many or too few cells."""
    cells = "1 cell" if expected == 1 else f"{expected} cells"

    return RowError("", "ragged_row", f"Expected {cells}, found {found}.")


def _cell_errors(lines: Lines, data: dict[str, str]) -> tuple[RowError, ...]:
    errors: list[RowError] = []

    if lines.since_mark > MAX_CELL_LENGTH:
        detail = f"Ensure this cell has no more than {MAX_CELL_LENGTH} characters."
        errors += (
            RowError(f"/{name}", "max_length", detail)
            for name, cell in data.items()
            if len(cell) > MAX_CELL_LENGTH
        )

    if any("\0" in line for line in lines.pulled):
        errors += (
            RowError(
                f"/{name}",
                "null_characters_not_allowed",
                "Null characters are not allowed.",
            )
            for name, cell in data.items()
            if "\0" in cell
        )

    return tuple(errors)
