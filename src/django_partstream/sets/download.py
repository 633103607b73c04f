"""What a job has read, as a file: the objects, one a line."""

from __future__ import annotations

import csv
import io
import json
import zlib
from typing import TYPE_CHECKING, Any

import orjson

from django_partstream.bulk.row import escaped
from django_partstream.models import JobBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_partstream.models import Job

__all__ = ("downloaded",)


def downloaded(job: Job, *, as_csv: bool) -> Iterator[bytes]:
    """The objects in the order in which they were asked for, a piece for each commit.

    As NDJSON, or as CSV with the names of the serializer's fields for its header.
    Needs `job.spec`.
    """
    columns = job.spec.get("columns", [])

    if as_csv:
        yield _csv([columns])

    for batch in _ledger(job):
        if not as_csv:
            yield batch
            continue

        objects = map(orjson.loads, batch.splitlines())
        yield _csv([[_cell(one.get(name)) for name in columns] for one in objects])


def _ledger(job: Job) -> Iterator[bytes]:
    batches = JobBatch.objects.using(job._state.db).filter(job=job).order_by("number")
    last = 0

    # One query each: an iterator over all would hold a connection between two pieces.
    while batch := batches.filter(number__gt=last).first():
        last = batch.number

        if batch.output:
            yield zlib.decompress(batch.output)


def _csv(rows: list[list[Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)

    return buffer.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, dict | list):
        return escaped(json.dumps(value, ensure_ascii=False))

    if isinstance(value, bool):
        return "true" if value else "false"

    return "" if value is None else escaped(str(value))
