"""The refused rows of a job, as files that can be corrected and sent again."""

from __future__ import annotations

import csv
import io
import zlib
from typing import TYPE_CHECKING, Any

import orjson

from . import encoding, offload
from .bulk.row import FORMULA_STARTS
from .models import JobBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from .models import Job

__all__ = ("OWN_COLUMNS", "failed", "off_the_loop", "safe_cell")

#: Columns of ours behind the input's; ignored on input.
OWN_COLUMNS = ("_row", "_outcome", "_pk", "_errors")


def failed(job: Job, *, as_csv: bool) -> Iterator[bytes]:
    """The refused rows in input order, a piece for each commit that had some.

    As NDJSON, or as CSV with the columns of the input and ours. Needs `job.spec`.
    """
    if not as_csv:
        for lines in _ledger(job):
            yield b"".join(
                encoding.encode(_wire(orjson.loads(line))) + b"\n" for line in lines
            )

        return

    given = job.spec.get("dialect", {}).get("columns", ())
    columns = [column for column in given if column not in OWN_COLUMNS]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow((*columns, *OWN_COLUMNS))

    for lines in _ledger(job):
        for line in lines:
            writer.writerow(_cells(orjson.loads(line), columns))

        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()

    if rest := buffer.getvalue():
        yield rest.encode()


async def off_the_loop(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, each made in a thread of ours."""
    while (piece := await offload.run_sync(next, pieces, None)) is not None:
        yield piece


def _ledger(job: Job) -> Iterator[list[bytes]]:
    batches = (
        JobBatch.objects.using(job._state.db)
        .filter(job=job, failed__gt=0)
        .order_by("number")
    )
    last = 0

    # One query each: an iterator over all would hold a connection between two pieces.
    while batch := batches.filter(number__gt=last).first():
        last = batch.number
        yield zlib.decompress(batch.failures).splitlines()


def _wire(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: row.get(key) for key in ("row", "line", "outcome", "pk", "data", "errors")
    }


def _cells(row: dict[str, Any], columns: Sequence[str]) -> list[str]:
    data = row["data"] if isinstance(row["data"], dict) else {}
    errors = row["error"]
    pk = "" if row["pk"] is None else row["pk"]
    cells = [data.get(column) for column in columns]

    return [
        safe_cell(cell) for cell in (*cells, row["row"], row["outcome"], pk, errors)
    ]


def safe_cell(cell: Any) -> str:
    """A value as text that no spreadsheet takes for a formula."""
    text = "" if cell is None else str(cell)

    if text.startswith(FORMULA_STARTS) and not _is_number(text):
        return f"'{text}"

    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False

    return True
