"""What became of a job's rows, in input order: of those that were refused, of those
that were not, and the rows that were never looked at.

Iterators of rows as PROTOCOL section 7 shows them, made as they are asked for. None
holds more than one commit's part of the ledger and one piece of the input.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import orjson

from .bulk.row import Position
from .errors import BadRequestError, JobUnfinishedError
from .job_rows import JobRows
from .jobs import ledger
from .models import JobBatch, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bulk.row import Row
    from .models import Job

__all__ = ("OUTCOMES", "failures_of", "results_of")

READ_BYTES = 64 * 1024


def results_of(job: Job, outcome: str) -> Iterator[dict[str, Any]]:
    """The rows of the job that had this outcome. Needs `job.spec` and `job.cursor`.

    Raises BadRequestError for an outcome that there is not, JobUnfinishedError where
    it is not known yet.
    """
    if outcome not in OUTCOMES:
        raise BadRequestError(
            f"outcome is {outcome[:40]!r}; expected one of "
            f"{', '.join(map(repr, OUTCOMES))}."
        )

    if outcome == "unprocessed" and not State(job.state).terminal:
        raise JobUnfinishedError(
            "Which rows are left unprocessed is known when the job has ended. Wait "
            "for its end, or cancel it."
        )

    return OUTCOMES[outcome](job)


def failures_of(job: Job) -> Iterator[dict[str, Any]]:
    """The failed rows, as the ledger has them."""
    for batch in _batches(job):
        yield from map(orjson.loads, _failures(batch))


def _failed(job: Job) -> Iterator[dict[str, Any]]:
    for row in failures_of(job):
        yield _shown(
            row["row"],
            "failed",
            line=row.get("line"),
            data=row.get("data"),
            errors=row.get("errors", []),
            error=row.get("error", ""),
        )


def _successful(job: Job) -> Iterator[dict[str, Any]]:
    read = _read(job)

    for batch in _batches(job):
        for number, (kind, pk) in enumerate(_outcomes(batch), start=batch.first_row):
            row = next(read, None)

            if kind != ledger.FAILED:
                yield _shown(
                    number if row is None else row.number,
                    kind,
                    pk=pk,
                    line=None if row is None else row.line,
                    data=None if row is None else row.data,
                )


def _unprocessed(job: Job) -> Iterator[dict[str, Any]]:
    # Other work has a cursor of its own kind.
    has_rows = "dialect" in job.spec

    for row in _read(job, Position.from_dict(job.cursor) if has_rows else None):
        yield _shown(row.number, "unprocessed", line=row.line, data=row.data)


OUTCOMES = {
    "failed": _failed,
    "successful": _successful,
    "unprocessed": _unprocessed,
}


def _shown(
    row: int,
    outcome: str,
    *,
    line: int | None,
    data: Any,
    pk: Any = None,
    errors: Any = (),
    error: str = "",
) -> dict[str, Any]:
    return {
        "row": row,
        "line": line,
        "outcome": outcome,
        "pk": pk,
        "data": data,
        "errors": errors,
        #: In words; for a CSV cell.
        "error": error,
    }


def _read(job: Job, position: Position | None = None) -> Iterator[Row]:
    """The input after this position, or all of it; nothing of work that has no rows
    for its input."""
    if "dialect" not in job.spec:
        return

    found = JobRows.of(job)

    for row, _ in found.after(position or found.start):
        yield row


def _batches(job: Job) -> Iterator[JobBatch]:
    batches = JobBatch.objects.using(job._state.db).filter(job=job).order_by("number")
    last = 0

    # One query each: an iterator over all would hold a connection between two pieces.
    while batch := batches.filter(number__gt=last).first():
        last = batch.number
        yield batch


def _outcomes(batch: JobBatch) -> Iterator[tuple[str, Any]]:
    if batch.successes:
        return ledger.unpack(bytes(batch.successes))

    return _guessed(batch)


def _guessed(batch: JobBatch) -> Iterator[tuple[str, Any]]:
    """Of work that did not say what became of each row."""
    failed = {orjson.loads(line)["row"] for line in _failures(batch)}
    kind = next(
        (
            kind
            for kind in ("created", "updated", "deleted", "unchanged")
            if getattr(batch, kind)
        ),
        ledger.FAILED,
    )

    for number in range(batch.first_row, batch.last_row + 1):
        yield (ledger.FAILED if number in failed else kind), None


def _failures(batch: JobBatch) -> Iterator[bytes]:
    """The lines of the failed rows, inflated as they are asked for."""
    packed: bytes = bytes(batch.failures)

    if not packed:
        return

    inflater = zlib.decompressobj()
    rest = b""

    while packed:
        *lines, rest = (rest + inflater.decompress(packed, READ_BYTES)).split(b"\n")
        packed = inflater.unconsumed_tail
        yield from lines

    # Each line has its end.
    *lines, _ = (rest + inflater.flush()).split(b"\n")
    yield from lines
