"""NDJSON as a stream of rows: one JSON object a line, a line held at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream.errors import EmptyUploadError, InvalidJSONError

from . import decoding
from .decoding import Lines, RecordTooLongError
from .json_values import ConstantError, decode, not_an_object
from .outcome import RowError
from .row import MAX_RECORD_BYTES, OWN_MEMBERS, Dialect, Position, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .decoding import Readable

__all__ = ("open_ndjson", "read_ndjson", "rows_of_lines", "unwrapped")


def open_ndjson(
    head: bytes, stream: Readable, *, encoding: str, offset: int
) -> tuple[Dialect, Iterator[tuple[Row, Position]]]:
    """The dialect of a stream that begins with `head`, and its rows.

    A line that is no JSON is an error of its row, since the others can be told from
    it; in the first one it says that the upload is something else: InvalidJSONError,
    and EmptyUploadError where there is no line.
    """
    dialect = Dialect(format="ndjson", encoding=encoding, start=offset)
    rows = _rows(
        Lines(decoding.Prefixed(head, stream), encoding, offset=offset, number=0), 0
    )
    first = next(rows, None)

    if first is None:
        raise EmptyUploadError

    if any(error.code == "parse_error" for error in first[0].errors):
        raise InvalidJSONError(
            f"The upload is no NDJSON: line {first[0].line} is not a JSON object "
            f"({first[0].errors[0].detail}). Send one object a line, or a JSON array "
            "as application/json.",
            extra={"row": 1, "line": first[0].line},
        )

    return dialect, _put_back(first, rows)


def read_ndjson(
    stream: Readable, dialect: Dialect, position: Position
) -> Iterator[tuple[Row, Position]]:
    """The rows after `position`, where the stream stands."""
    lines = Lines(
        stream, dialect.encoding, offset=position.offset, number=position.line
    )

    return _rows(lines, position.row)


def _put_back(
    first: tuple[Row, Position], rows: Iterator[tuple[Row, Position]]
) -> Iterator[tuple[Row, Position]]:
    yield first
    yield from rows


def _rows(lines: Lines, number: int) -> Iterator[tuple[Row, Position]]:
    return rows_of_lines(lines, iter(lines), number)


def rows_of_lines(
    lines: Lines, texts: Iterator[str], number: int
) -> Iterator[tuple[Row, Position]]:
    """The rows after so many, of `texts`, which come out of `lines`."""
    while True:
        lines.mark()

        try:
            text = next(texts, None)
        except RecordTooLongError as error:
            raise InvalidJSONError(
                f"Row {number + 1}, line {lines.number + 1}, is longer than "
                f"{MAX_RECORD_BYTES} bytes. Is it one object a line?",
                extra={"row": number + 1, "line": lines.number + 1},
            ) from error

        if text is None:
            return

        if not text.strip():
            continue

        number += 1
        data, errors = _value(text)

        yield (
            Row(number=number, line=lines.number, data=data, errors=errors),
            Position(offset=lines.offset, row=number, line=lines.number),
        )


def _value(text: str) -> tuple[Any, tuple[RowError, ...]]:
    try:
        value = decode(text)
    except (ConstantError, RecursionError, ValueError) as error:
        # The text itself goes back to the client, who can mend it.
        return text.rstrip("\r\n"), (_parse_error(error),)

    value = unwrapped(value)

    return value, not_an_object(value)


def unwrapped(value: Any) -> Any:
    """Of a line of our result files, corrected, the row that it is about."""
    if isinstance(value, dict) and value.keys() == OWN_MEMBERS:
        return value["data"]

    return value


def _parse_error(error: Exception) -> RowError:
    match error:
        case RecursionError():
            what = "it is nested too deeply"
        case ConstantError():
            what = f"{error} is not JSON"
        case _:
            what = str(error)

    # DRF's own words.
    return RowError("", "parse_error", f"JSON parse error - {what}")
