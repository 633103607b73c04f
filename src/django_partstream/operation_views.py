"""The views of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db.models import Q, QuerySet
from django.http import StreamingHttpResponse
from rest_framework.response import Response

from . import result_files, results, sets
from .errors import NotFoundError
from .jobs import following, progress, states
from .models import Job, State
from .renderers import CSVRenderer, EventRenderer, NDJSONRenderer, PageRenderer
from .responses import ProblemMixin
from .streamable import AsyncView, StreamableView, is_asgi
from .submission import job_addresses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

__all__ = (
    "OperationEventsView",
    "OperationListView",
    "OperationResultsView",
    "OperationStatusView",
)


class OperationView(ProblemMixin):
    """The jobs that a caller may know of: their own, and anonymous ones by id."""

    def get_queryset(self) -> QuerySet[Job]:
        user = self.request.user
        owner = Q(owner__isnull=True)

        if user is not None and user.is_authenticated:
            owner |= Q(owner_id=user.pk)

        return states.jobs().filter(owner)

    def get_job(self, job_id: UUID) -> Job:
        """Raises NotFoundError, for another user's job as for none."""
        job = self.get_queryset().defer("spec", "cursor").filter(pk=job_id).first()

        if job is None:
            raise NotFoundError("There is no job with this id.")

        return job


class OperationListView(OperationView):
    """The caller's own jobs, the newest first, at most 100."""

    renderer_classes = [PageRenderer]

    def get(self, request: Request) -> Response:
        user = request.user

        if user is None or not user.is_authenticated:
            # Whoever has no name has no list: an anonymous job is known by its id.
            return Response({"count": 0, "results": []})

        jobs = states.jobs().filter(owner_id=user.pk).defer("spec", "cursor")[:100]
        shown = [{**progress.snapshot(job), **job_addresses(job.pk)} for job in jobs]

        return Response({"count": len(shown), "results": shown})


class OperationStatusView(OperationView):
    """How far a job is; DELETE cancels it."""

    renderer_classes = [PageRenderer]

    def get(self, request: Request, job_id: UUID) -> Response:
        return _status(self.get_job(job_id))

    def delete(self, request: Request, job_id: UUID) -> Response:
        job = self.get_job(job_id)
        states.cancel(job.pk)

        return _status(self.get_job(job_id))


def _status(job: Job) -> Response:
    response = Response({**progress.snapshot(job), **job_addresses(job.pk)})
    response["ETag"] = f'"{job.seq}"'
    response["Cache-Control"] = "no-store"

    if not State(job.state).terminal:
        response["Retry-After"] = "1"

    return response


class OperationEventsView(StreamableView, OperationView):
    """A job as a stream of frames; as JSON, its status.

    A stream that was cut is asked for again: its first `progress` says everything.
    """

    renderer_classes = [NDJSONRenderer, EventRenderer, PageRenderer]

    async def get(self, request: Any, job_id: UUID) -> HttpResponseBase:
        job = await sync_to_async(self.get_job)(job_id)

        if self.answers_done(request):
            return self.done_response()

        if self.wants_stream(request):
            return self.stream_response(request, following.follow(job.pk))

        self.as_page(request)

        return _status(job)


class OperationResultsView(AsyncView, OperationView):
    """The rows of a job with one outcome (`failed`, `successful`, `unprocessed`), in
    input order, as NDJSON or CSV; of one that reads, what it has read.

    Either can be corrected and sent again as it is.
    """

    renderer_classes = [NDJSONRenderer, CSVRenderer]

    async def get(self, request: Any, job_id: UUID) -> HttpResponseBase:
        renderer = request.accepted_renderer
        as_csv = isinstance(renderer, CSVRenderer)
        outcome, pieces = await sync_to_async(self._found)(
            job_id, request.query_params.get("outcome"), as_csv=as_csv
        )
        response = StreamingHttpResponse(
            result_files.off_the_loop(pieces) if is_asgi(request) else pieces,
            content_type=renderer.media_type + ("; charset=utf-8" if as_csv else ""),
        )
        name = f"{outcome}-{job_id}.{renderer.format}"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"

        return response

    def _found(
        self, job_id: UUID, outcome: str | None, *, as_csv: bool
    ) -> tuple[str, Iterator[bytes]]:
        self.get_job(job_id)
        # With what was asked for and how far it came.
        job = states.jobs().get(pk=job_id)

        if job.kind == sets.KIND and outcome is None:
            return "read", sets.downloaded(job, as_csv=as_csv)

        outcome = outcome or "failed"
        found = results.results_of(job, outcome)

        if as_csv:
            return outcome, result_files.as_csv(job, found)

        return outcome, result_files.as_ndjson(found)
