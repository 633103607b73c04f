"""Rows out of an upload: CSV, NDJSON or a JSON array, read as a stream in bounded
memory.

Nothing here knows a serializer. A cell is a string, a JSON value what `json` makes
of it; what they mean is for the pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from django_partstream.errors import (
    EmptyUploadError,
    TooManyRowsError,
    UnsupportedMediaError,
)

from . import decoding
from .block import Block
from .csv_blocks import CSVReader, open_csv
from .csv_rows import read_csv
from .json_rows import json_blocks, open_json, read_json
from .ndjson_blocks import NDJSONReader
from .ndjson_rows import open_ndjson, read_ndjson
from .row import (
    MAX_CELL_LENGTH,
    MAX_RECORD_BYTES,
    OWN_COLUMNS,
    Dialect,
    Inspection,
    Position,
    Row,
)
from .stretch import Reader, RowReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = (
    "CSV_TYPES",
    "JSON_TYPES",
    "MAX_CELL_LENGTH",
    "MAX_RECORD_BYTES",
    "NDJSON_TYPES",
    "OWN_COLUMNS",
    "Block",
    "Dialect",
    "Inspection",
    "Position",
    "Reader",
    "Row",
    "blocks",
    "inspect",
    "read",
    "reader",
)

#: The last is what Windows browsers call CSV.
CSV_TYPES = ("text/csv", "application/csv", "application/vnd.ms-excel")
JSON_TYPES = ("application/json",)
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
#: Of an upload that is no longer than this, the rows are kept when it is inspected.
KEPT_BYTES = 2 * 1024 * 1024
TYPES = CSV_TYPES + JSON_TYPES + NDJSON_TYPES


def inspect(
    stream: BinaryIO,
    *,
    content_type: str,
    charset: str | None,
    known: Sequence[str],
    required: Sequence[str],
    max_rows: int,
    size: int = 1000,
) -> Inspection:
    """Read the whole stream once; only its `read(n)` is used.

    After this, `read` with the dialect that is returned meets no error of encoding or
    syntax. Raises EmptyUploadError, UndecodableError, NotCSVError, ColumnsError,
    InvalidJSONError, TooManyRowsError and UnsupportedMediaError. `content_type` is
    bare; `known` and `required` are names of CSV columns; `size` is of the blocks.
    """
    if content_type not in TYPES:
        raise UnsupportedMediaError(
            f"The media type {content_type!r} is not supported. "
            f"Supported: {', '.join(TYPES)}."
        )

    head = _head(stream)
    encoding, offset = decoding.encoding_of(head, charset)
    head = head[offset:]
    csv_reader: CSVReader | None = None

    if not head:
        raise EmptyUploadError

    if content_type in JSON_TYPES:
        dialect, found = open_json(
            head, stream, encoding=encoding, offset=offset, size=size
        )
    elif content_type in NDJSON_TYPES:
        dialect, rows = open_ndjson(head, stream, encoding=encoding, offset=offset)
        found = _in_blocks(RowReader(rows), size)
    else:
        dialect, reader = open_csv(
            head,
            stream,
            encoding=encoding,
            offset=offset,
            known=known,
            required=required,
        )
        found = _in_blocks(reader, size)
        csv_reader = reader if isinstance(reader, CSVReader) else None

    count = 0
    kept: list[Block] | None = []

    for block, position in found:
        count = _counted(count + len(block), max_rows)

        if kept is not None and position.offset <= KEPT_BYTES:
            kept.append(block)
        else:
            kept = None

            # What is not kept need not be taken apart.
            if csv_reader is not None:
                break

    while (
        kept is None
        and csv_reader is not None
        and (more := csv_reader.pass_over(size)) is not None
    ):
        count = _counted(count + more, max_rows)

    return Inspection(
        dialect=dialect, rows=count, blocks=None if kept is None else tuple(kept)
    )


def _counted(rows: int, most: int) -> int:
    if rows > most:
        raise TooManyRowsError(f"The upload has more than {most} rows. Split it.")

    return rows


def _in_blocks(reader: Reader, size: int) -> Iterator[tuple[Block, Position]]:
    while (some := reader.take(size)) is not None:
        if some:
            yield some.block, some.end(len(some) - 1)


def read(
    stream: BinaryIO, dialect: Dialect, position: Position | None = None
) -> Iterator[tuple[Row, Position]]:
    """The rows after `position`, each with the position after itself.

    The stream stands at `position.offset`, or at its beginning.
    """
    position = _started(stream, dialect, position)

    if dialect.format == "csv":
        return read_csv(stream, dialect, position)

    if dialect.format == "ndjson":
        return read_ndjson(stream, dialect, position)

    return read_json(stream, dialect, position)


def blocks(
    stream: BinaryIO, dialect: Dialect, size: int, position: Position | None = None
) -> Iterator[tuple[Block, Position]]:
    """The same rows, about `size` of them at once, with the position after them."""
    if dialect.format == "json":
        at = _started(stream, dialect, position)
        yield from json_blocks(stream, dialect, at, size)

        return

    yield from _in_blocks(reader(stream, dialect, position), size)


def reader(
    stream: BinaryIO, dialect: Dialect, position: Position | None = None
) -> Reader:
    """What reads the same rows together, with the position after each."""
    if dialect.format == "json" or dialect.encoding in decoding.WIDE:
        return RowReader(read(stream, dialect, position))

    position = _started(stream, dialect, position)

    if dialect.format == "ndjson":
        return NDJSONReader(decoding.ByteLines(stream), dialect.encoding, position)

    return CSVReader(decoding.ByteLines(stream), dialect, position)


def _started(stream: BinaryIO, dialect: Dialect, position: Position | None) -> Position:
    """The position, before the first row at least."""
    position = position or Position()

    if position.offset >= dialect.start:
        return position

    decoding.discard(stream, dialect.start - position.offset)

    return Position(offset=dialect.start, row=0, line=dialect.line)


def _head(stream: BinaryIO) -> bytes:
    head = b""

    while len(head) < decoding.BLOCK_BYTES and (
        block := stream.read(decoding.BLOCK_BYTES - len(head))
    ):
        head += block

    return head
