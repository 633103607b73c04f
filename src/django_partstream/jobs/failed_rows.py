"""The failed rows of a job, a page at a time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import orjson

from django_partstream.models import JobBatch

from . import states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

__all__ = ("FailedRows",)


class FailedRows:
    """As a list, for Django's Paginator: only the commits of the slice are read."""

    def __init__(self, job_id: UUID, count: int) -> None:
        self._batches = JobBatch.objects.using(states.jobs().db).filter(
            job_id=job_id, failed__gt=0
        )
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        start, stop, _ = part.indices(self._count)
        rows: list[dict[str, Any]] = []

        for number, first, last in self._spans():
            if last > start and first < stop:
                lines = self._lines(number)
                rows += map(
                    orjson.loads, lines[max(0, start - first) : max(0, stop - first)]
                )

        return rows

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """The commits that had some, and which of the failed rows are theirs."""
        first = 0

        for number, failed in self._batches.values_list("number", "failed"):
            yield number, first, first + failed
            first += failed

    def _lines(self, number: int) -> list[bytes]:
        packed = self._batches.values_list("failures", flat=True).get(number=number)

        return zlib.decompress(packed).splitlines()
