"""The failed rows of a job, or those that it did not come to, run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.exceptions import PermissionDenied

from django_partstream import idempotency, preferences, retries
from django_partstream.bulk_work import view_of
from django_partstream.envelope import Envelope
from django_partstream.errors import BadRequestError
from django_partstream.jobs import states
from django_partstream.jobs.work import WorkRefusedError
from django_partstream.owners import is_stored
from django_partstream.renderers import PageRenderer
from django_partstream.submission import accept

from .access import OperationView

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request
    from rest_framework.response import Response

    from django_partstream.models import Job

__all__ = ("OperationRetryView",)


class OperationRetryView(OperationView):
    """POST runs rows of a finished job again, as a new job: those that failed, or with
    `?outcome=unprocessed` those that it did not come to."""

    renderer_classes = [PageRenderer]

    def post(self, request: Request, job_id: UUID) -> Response:
        self.get_job_to_change(job_id)
        outcome = request.query_params.get("outcome", "failed")

        if outcome not in retries.OUTCOMES:
            raise BadRequestError(
                f"outcome is {outcome[:40]!r}; expected one of "
                f"{', '.join(map(repr, retries.OUTCOMES))}."
            )

        # With what was asked for, and how far it came.
        job = states.jobs().get(pk=job_id)
        _check_owner(job)
        owner = request.user if is_stored(request.user) else None
        once = idempotency.once_of(
            request, owner=owner, asked={"outcome": outcome}, stream=None
        )

        return accept(
            request,
            lambda: retries.retry(job, outcome, once=once),
            once=once,
            preferences=preferences.parse(request.headers.get("Prefer")),
        )


def _check_owner(job: Job) -> None:
    """Whoever owns the job must still be allowed what it does."""
    if "envelope" not in job.spec:
        return

    try:
        view_of(job, Envelope(**job.spec["envelope"]))
    except WorkRefusedError as error:
        raise PermissionDenied(str(error)) from error
