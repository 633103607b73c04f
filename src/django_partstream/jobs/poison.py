"""Rows that cannot be processed: what is said of them, and when it is not them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from django.db.models import F

from django_partstream.models import JobBatch

from . import states

if TYPE_CHECKING:
    from django_partstream.models import Job

__all__ = ("CODE", "DEADLY", "EVERYWHERE", "RAISES", "everywhere", "is_everywhere")

CODE = "poison"
#: Of a job that was given up for it.
EVERYWHERE = "poison_everywhere"
RAISES = (
    "This row could not be processed: it raises an error of the application, which is "
    "in its log. It was left out."
)
DEADLY = (
    "This row could not be processed: it ends the worker's process. It was left out."
)

#: So many in a row are no accident: then it is the code, or the table.
IN_A_ROW = 10


def is_everywhere(job: Job) -> bool:
    """Whether the last rows all were poison."""
    last = (
        JobBatch.objects.using(states.jobs().db)
        .filter(job=job, number__gt=job.batches - IN_A_ROW, failed=1)
        .filter(first_row=F("last_row"))
        .values_list("failures", flat=True)
    )
    mark = f'"{CODE}"'.encode()

    return sum(mark in zlib.decompress(failures) for failures in last) >= IN_A_ROW


def everywhere(job: Job) -> str:
    """Why such a job is given up."""
    return (
        f"The job failed after row {job.current}: {IN_A_ROW} rows in a row could not "
        "be processed, because of errors of the application, which are in its log. "
        "They are among the failed rows, and the rows after them are unprocessed: when "
        "the application is mended, retry the one and send the other again."
    )
