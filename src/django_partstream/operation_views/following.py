"""A job as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream.jobs import following
from django_partstream.renderers import EventRenderer, NDJSONRenderer, PageRenderer
from django_partstream.streamable import StreamableView
from django_partstream.transports.request_thread import call

from .access import OperationView
from .status import status_response

if TYPE_CHECKING:
    from uuid import UUID

    from django.http.response import HttpResponseBase

__all__ = ("OperationEventsView",)


class OperationEventsView(StreamableView, OperationView):
    """A job as a stream of frames; as JSON, its status.

    A stream that was cut is asked for again: its first `progress` says everything.
    """

    renderer_classes = [NDJSONRenderer, EventRenderer, PageRenderer]

    async def get(self, request: Any, job_id: UUID) -> HttpResponseBase:
        job = await call(self.get_job, job_id)

        if self.answers_done(request):
            return self.done_response()

        if self.wants_stream(request):
            return self.stream_response(
                request, following.follow(job.pk, viewer=self.viewer)
            )

        self.as_page(request)

        return status_response(job)
