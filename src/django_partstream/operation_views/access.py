"""Whose jobs somebody may see, and change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import PermissionDenied

from django_partstream.errors import NotFoundError
from django_partstream.jobs import states
from django_partstream.jobs.following import NOT_THERE
from django_partstream.jobs.viewers import CHANGE, VIEW, may
from django_partstream.owners import is_stored
from django_partstream.responses import ProblemMixin

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

    from django_partstream.models import Job

__all__ = ("CHANGE", "VIEW", "OperationView")


class OperationView(ProblemMixin):
    """A view of one job.

    A job is its owner's, and one without an owner belongs to whoever holds its id.
    Staff with the permission to view jobs sees all of them, with the permission to
    change them it may also cancel and retry them. For everybody else a job is not
    there.
    """

    def get_queryset(self) -> QuerySet[Job]:
        return states.with_cancels(states.jobs()).defer("spec", "cursor")

    def get_job(self, job_id: UUID) -> Job:
        """A job that the caller may see. Raises NotFoundError, for another user's job
        as for none."""
        job = self.get_queryset().filter(pk=job_id).first()

        if job is None or not self._may(job, VIEW, CHANGE):
            raise NotFoundError(NOT_THERE)

        return job

    def get_job_to_change(self, job_id: UUID) -> Job:
        """A job that the caller may change. Raises NotFoundError, and PermissionDenied
        where they may only see it."""
        job = self.get_job(job_id)

        if not self._may(job, CHANGE):
            raise PermissionDenied

        return job

    def _may(self, job: Job, *permissions: str) -> bool:
        user = self.request.user

        if job.owner_id is None:
            return True

        return is_stored(user) and may(user, job.owner_id, *permissions)

    @property
    def viewer(self) -> Any:
        """The key of the caller, who is asked about again; None where a job is seen by
        whoever holds its id."""
        user = self.request.user

        return user.pk if is_stored(user) else None
