"""How far a job is, and how it is ended before its time."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.utils.http import parse_etags
from rest_framework.response import Response

from django_partstream import conf, hub, preferences
from django_partstream.errors import TooManyStreamsError
from django_partstream.jobs import progress, states
from django_partstream.models import State
from django_partstream.renderers import PageRenderer
from django_partstream.stream_slots import slots
from django_partstream.streamable import AsyncView, holder_of
from django_partstream.submission import job_addresses
from django_partstream.waiting import RETRY_AFTER, changed, patience_of

from .access import OperationView

if TYPE_CHECKING:
    from uuid import UUID

    from django_partstream.models import Job

__all__ = ("OperationStatusView", "status_response")


class OperationStatusView(AsyncView, OperationView):
    """How far a job is; DELETE cancels it.

    With `Prefer: wait=N` the answer waits until the job has moved on from what the
    client knows (`If-None-Match`), or from where it is, at most so long.
    """

    renderer_classes = [PageRenderer]

    async def get(self, request: Any, job_id: UUID) -> Response:
        job = await sync_to_async(self.get_job)(job_id)
        wanted = preferences.parse(request.headers.get("Prefer"))
        seconds = patience_of(wanted)
        known = request.headers.get("If-None-Match")

        if seconds and not _has_ended(job) and _is_known(job, known or "*"):
            await _wait(request, job, seconds)
            # Whoever waited must still have the right to see it.
            job = await sync_to_async(self.get_job)(job_id)

        response = status_response(job)

        if known is not None and _is_known(job, known):
            response.status_code, response.data = HTTPStatus.NOT_MODIFIED, None

        if seconds:
            response["Preference-Applied"] = f"wait={wanted.wait}"

        return response

    async def delete(self, request: Any, job_id: UUID) -> Response:
        outcome, job = await sync_to_async(self._cancel)(job_id)
        # Followers in other processes would read it with their next look.
        await hub.publish(progress.group_of(job.pk), progress.snapshot(job))
        response = status_response(job)

        if outcome == State.CANCELLING:
            response.status_code = HTTPStatus.ACCEPTED

        return response

    def _cancel(self, job_id: UUID) -> tuple[Any, Job]:
        job = self.get_job_to_change(job_id)

        return states.cancel(job.pk), self.get_job(job_id)


async def _wait(request: Any, job: Job, seconds: float) -> None:
    """As a stream would, and counted as one; who has too many is answered at once."""
    try:
        slot = slots.take(holder_of(request), conf.current().streams_per_user)
    except TooManyStreamsError:
        return

    try:
        await changed(request, job, seconds=seconds)
    finally:
        slot.give_back()


def status_response(job: Job) -> Response:
    """The status of a job, as PROTOCOL section 7 has it."""
    response = Response({**progress.snapshot(job), **job_addresses(job.pk)})
    response["ETag"] = _etag(job)
    response["Cache-Control"] = "no-store"

    if not _has_ended(job):
        response["Retry-After"] = str(RETRY_AFTER)

    return response


def _has_ended(job: Job) -> bool:
    return State(job.state).terminal


def _etag(job: Job) -> str:
    return f'"{progress.seq_of(job)}"'


def _is_known(job: Job, etags: str) -> bool:
    """Whether one of these is the job's; compressing middleware makes them weak."""
    known = parse_etags(etags)

    return known == ["*"] or _etag(job) in {etag.removeprefix("W/") for etag in known}
