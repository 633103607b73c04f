"""The jobs of a caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response

from django_partstream import replays
from django_partstream.jobs import progress, states
from django_partstream.owners import is_stored
from django_partstream.renderers import PageRenderer
from django_partstream.responses import ProblemMixin
from django_partstream.submission import job_addresses

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ("OperationListView",)


class OperationListView(ProblemMixin):
    """The caller's own jobs, the newest first, at most 100."""

    renderer_classes = [PageRenderer]

    def get(self, request: Request) -> Response:
        user = request.user

        if not is_stored(user):
            # Whoever has no name has no list: an anonymous job is known by its id.
            return Response({"count": 0, "results": []})

        jobs = (
            states.jobs()
            .filter(owner_id=user.pk)
            .exclude(kind=replays.KIND)
            .defer("spec", "cursor")[:100]
        )
        shown = [{**progress.snapshot(job), **job_addresses(job.pk)} for job in jobs]

        return Response({"count": len(shown), "results": shown})
