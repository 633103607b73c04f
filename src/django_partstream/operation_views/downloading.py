"""What became of a job's rows, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from django_partstream import result_files, results, sets
from django_partstream.jobs import states
from django_partstream.renderers import CSVRenderer, NDJSONRenderer
from django_partstream.streamable import AsyncView, is_asgi

from .access import OperationView

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django.http.response import HttpResponseBase

__all__ = ("OperationResultsView",)


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
