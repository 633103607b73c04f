"""Jobs by their id, for code on the server: what the older packages kept in a cache.

Nobody's rights are asked; what a client may see is for the job views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from .jobs import progress

if TYPE_CHECKING:
    from .models import Job

__all__ = ("OperationCache",)


class OperationCache:
    """How far a job is, and what came of it. Each is None where there is no such job.

    Read from the database, so that it is true whatever cache is lost.
    """

    @classmethod
    def get_task_progress(cls, task_id: str | UUID) -> dict[str, Any] | None:
        """`current`, `total`, `percentage`, `message` and what a status has beside."""
        summary = cls.get_task_summary(task_id)

        return None if summary is None else summary["progress"]

    @classmethod
    def get_task_result(cls, task_id: str | UUID) -> dict[str, Any] | None:
        """Counts, keys and errors; of a job that still runs, those so far."""
        summary = cls.get_task_summary(task_id)

        return None if summary is None else summary["result"]

    @classmethod
    def get_task_summary(cls, task_id: str | UUID) -> dict[str, Any] | None:
        """All that the job's status says."""
        job = _job(task_id)

        return None if job is None else progress.snapshot(job)


def _job(task_id: str | UUID) -> Job | None:
    try:
        key = task_id if isinstance(task_id, UUID) else UUID(task_id)
    except ValueError:
        return None

    return progress.load(key)
