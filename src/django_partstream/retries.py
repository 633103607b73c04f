"""A finished job's rows, run again as a job of their own."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from . import results
from .errors import JobUnfinishedError, NothingToRetryError
from .job_rows import KEPT, kept_line
from .jobs import inputs
from .jobs.submit import submit
from .models import State

if TYPE_CHECKING:
    from .jobs.submit import Once
    from .models import Job

__all__ = ("OUTCOMES", "retry")

OUTCOMES = ("failed", "unprocessed")

SPOOL_BYTES = 2 * 1024 * 1024


def retry(job: Job, outcome: str = "failed", *, once: Once | None = None) -> Job:
    """Submit the rows of a finished job that had this outcome as a new job of the same
    owner; `job` stays as it is.

    In the new job's reports rows have the numbers and lines that they had. Raises
    JobUnfinishedError, NothingToRetryError, and what `submit` raises.
    """
    if not State(job.state).terminal:
        raise JobUnfinishedError(
            "Only the rows of a job that has ended can be run again. Wait for its end, "
            "or cancel it."
        )

    with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as file:
        spool = cast("BinaryIO", file)
        spec: dict[str, Any] = {**job.spec}
        write = _write_failed if outcome == "failed" else _write_unprocessed
        total, cursor = write(job, spec, spool)

        if not total:
            raise NothingToRetryError(f"The job has no {outcome} rows.")

        spool.seek(0)

        return submit(
            kind=job.kind,
            owner=job.owner,
            spec=spec,
            total=total,
            stream=spool if job.input_bytes else None,
            retry_of=job,
            cursor=cursor,
            once=once,
        )


def _write_failed(
    job: Job, spec: dict[str, Any], spool: BinaryIO
) -> tuple[int, dict[str, Any]]:
    if "dialect" not in spec:
        raise NothingToRetryError(
            f"A job of kind {job.kind!r} keeps no rows that could be run again."
        )

    count = 0

    for failure in results.failures_of(job):
        count += 1
        spool.write(kept_line(failure))
        spec["last_row"] = failure["row"]

    spec["format"] = KEPT
    spec.pop("start", None)

    return count, {}


def _write_unprocessed(
    job: Job, spec: dict[str, Any], spool: BinaryIO
) -> tuple[int, dict[str, Any]]:
    if job.input_bytes:
        shutil.copyfileobj(inputs.of(job).open(0), spool)

    spec.setdefault("last_row", job.total)
    spec["start"] = job.cursor

    return max(0, job.total - job.current), dict(job.cursor)
