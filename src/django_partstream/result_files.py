"""Results as files, which can be corrected and sent again: NDJSON and CSV."""

from __future__ import annotations

import csv
import io
import itertools
from typing import TYPE_CHECKING, Any

from . import encoding, offload
from .bulk.row import escaped
from .errors import UnencodableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from .models import Job

__all__ = ("OWN_COLUMNS", "as_csv", "as_ndjson", "off_the_loop")

#: Columns of ours behind the input's; ignored on input.
OWN_COLUMNS = ("_row", "_outcome", "_pk", "_errors")

#: What a line of NDJSON has.
MEMBERS = ("row", "line", "outcome", "pk", "data", "errors")

#: Rows of one piece.
PIECE_ROWS = 500


def as_ndjson(results: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """A line for each row, in pieces."""
    for piece in _pieces(results):
        yield b"".join(map(_line, piece))


def as_csv(job: Job, results: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """The columns of the input and ours, in pieces. Needs `job.spec`."""
    given = job.spec.get("dialect", {}).get("columns") or job.spec.get("columns", ())
    columns = [column for column in given if column not in OWN_COLUMNS]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow((*columns, *OWN_COLUMNS))
    yield _taken(buffer)

    for piece in _pieces(results):
        writer.writerows(_cells(row, columns) for row in piece)
        yield _taken(buffer)


def _line(row: dict[str, Any]) -> bytes:
    members = {name: row[name] for name in MEMBERS}

    try:
        return encoding.encode(members) + b"\n"
    except UnencodableError:
        # Half of a surrogate pair, which JSON can escape and UTF-8 not hold.
        return encoding.encode({**members, "data": None}) + b"\n"


async def off_the_loop(
    pieces: Iterator[bytes], *, request: Any = None
) -> AsyncIterator[bytes]:
    """The same pieces, each made in a thread of ours, for this request."""
    while True:
        with offload.running_with(offload.run_sync, request=request):
            piece = await offload.run_sync(next, pieces, None)

        if piece is None:
            return

        yield piece


def _pieces(results: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while piece := list(itertools.islice(results, PIECE_ROWS)):
        yield piece


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()

    return text.encode(errors="replace")


def _cells(row: dict[str, Any], columns: Sequence[str]) -> list[str]:
    data = row["data"] if isinstance(row["data"], dict) else {}
    cells = [_text(data.get(column)) for column in columns]
    cells += [_text(row[name]) for name in ("row", "outcome", "pk", "error")]

    return [escaped(cell) for cell in cells]


def _text(value: Any) -> str:
    """A value as a reader of CSV takes it again."""
    if value is None:
        return ""

    return value if isinstance(value, str) else encoding.encode(value).decode()
