"""Django's signal of a job's progress, beside whatever else is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_partstream.models import Job
from django_partstream.signals import job_progressed

from .progress import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("with_signal",)


def with_signal(on_change: Callable[[Job], None]) -> Callable[[Job], None]:
    """The same, and `job_progressed` where somebody listens to it."""

    def tell(job: Job) -> None:
        on_change(job)

        if job_progressed.has_listeners(Job):
            job_progressed.send_robust(sender=Job, job=job, snapshot=snapshot(job))

    return tell
