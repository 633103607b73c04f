"""The views: progressive ones, and those of jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from adrf.views import APIView as AsyncAPIView
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict, StreamingHttpResponse
from rest_framework.response import Response

from . import conf, frames, live, offload, results
from .errors import BadRequestError, CursorExpiredError, NotFoundError
from .jobs import progress, states
from .models import Job, State
from .operations import job_addresses
from .parts import cursor as cursors
from .parts.plan import Plan, make_plan
from .parts.runner import Resolved, Scope, gone_problem, resolve_all, stream
from .renderers import CSVRenderer, NDJSONRenderer, PageRenderer
from .responses import ProblemMixin
from .transports.ndjson import FrameResponse
from .transports.pages import page

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

__all__ = (
    "OperationEventsView",
    "OperationListView",
    "OperationResultsView",
    "OperationStatusView",
    "ProgressiveView",
)

#: Of the first request's query, what a follow-up says for itself.
NOT_CARRIED = ("cursor", "format", "live")


class AsyncView(ProblemMixin, AsyncAPIView):  # type: ignore[misc]
    """An async view for any project: Django refuses those with ATOMIC_REQUESTS, on
    whichever database it is set, unless they say that it is not for them."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view: Any = super().as_view(**initkwargs)

        for alias in connections:
            transaction.non_atomic_requests(using=alias)(view)

        return view


class ProgressiveView(AsyncView):
    """A response that is made of named parts, each sent when it is ready.

        class Dashboard(ProgressiveView):
            def get_parts(self):
                return [
                    ("meta", {"timestamp": timezone.now()}),
                    ("orders", lazy(self.get_orders)),
                ]

    The same view is read as cursor pages (`application/json`), as a stream
    (`application/x-ndjson`) or through a WebSocket subscription. Authentication,
    permissions, throttles and `get_parts()` run before the first byte, on every
    request.
    """

    #: Parts of a page; None: `PARTSTREAM['CHUNK_SIZE']`.
    chunk_size: int | None = None
    max_chunk_size: int | None = None
    #: Seconds that a cursor is good for; None: `PARTSTREAM['CURSOR_TTL_SECONDS']`.
    cursor_ttl: float | None = None
    #: Seconds that a stream may take; None: `PARTSTREAM['STREAM_DEADLINE_SECONDS']`.
    stream_deadline: float | None = None
    #: Seconds after which the parts of a live stream are made again though no topic of
    #: theirs was published; None: `PARTSTREAM['LIVE_REFRESH_SECONDS']`.
    live_refresh: float | None = None

    renderer_classes = [PageRenderer, NDJSONRenderer]

    def get_parts(self) -> Any:
        """The parts: a list of (name, value) pairs. May be async.

        A value is JSON-able data, or `lazy(fn)`. Runs on every request, so that a
        client never gets a part that it may no longer see.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have get_parts(), which returns a list of "
            "(name, value) pairs."
        )

    async def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        binding = _binding(self, request)
        owed = self._owed(request, binding)

        if owed is not None:
            # Authenticated as it is; from here on it asks what the first one asked.
            request._request.GET = _restored(owed.query, request.query_params)

        query = _carried(request.query_params)
        plan, scope = await self._plan(request)
        names, gone = (plan.names, ()) if owed is None else owed.of(plan.names)

        if live.is_check(request):
            return live.Checked(live.Permitted(plan=plan, scope=scope))

        is_live = live.is_wanted(request)
        # Whoever comes back may have missed changes of what it was sent.
        parts = [
            part
            for part in plan.parts
            if part.name in set(names) or (is_live and live.is_live(part))
        ]

        def sign(left: Iterable[str]) -> str | None:
            return cursors.sign(cursors.Owed(query=query, names=tuple(left)), binding)

        # Before the first byte: it raises when the query is too long to be carried.
        sign(plan.names)

        if _streams(request):
            deadline = self.stream_deadline or conf.current().stream_deadline_seconds
            producer = stream(parts, scope, sign=sign, gone=gone, deadline=deadline)

            if is_live:
                producer = live.follow(
                    producer,
                    live.Permitted(plan=plan, scope=scope),
                    query=query,
                    deadline=deadline,
                    refresh=self.live_refresh or conf.current().live_refresh_seconds,
                )

            return FrameResponse(
                producer, holds_request_thread=scope.holds_request_thread(parts)
            )

        _as_page(request)
        size = self._chunk_size(request.query_params.get("chunk_size"))
        resolved = await resolve_all(parts[:size], scope)
        later = sign(names[size:])
        shown = [_gone_frame(name) for name in gone]
        shown += [result.frame(None) for result in resolved]

        return Response(page(shown, cursor=later, total_parts=len(plan.parts)))

    def check_throttles(self, request: Any) -> None:
        # Nobody asks twice when a live stream looks whether it may go on.
        if not live.is_check(request):
            super().check_throttles(request)

    def _owed(self, request: Any, binding: cursors.Binding) -> cursors.Owed | None:
        token = request.query_params.get("cursor")

        if not token:
            return None

        ttl = self.cursor_ttl or conf.current().cursor_ttl_seconds

        try:
            return cursors.read(token, binding, ttl=ttl)
        except CursorExpiredError:
            # A live stream outlives its cursors, and is simply asked for again.
            if live.is_wanted(request):
                return None

            raise

    async def _plan(self, request: Any) -> tuple[Plan, Scope]:
        settings = conf.current()

        if asyncio.iscoroutinefunction(self.get_parts):
            pairs = await self.get_parts()
            atomic = await sync_to_async(offload.in_atomic_block)()
        else:
            # One hop for both: the request's own thread knows of its transaction.
            pairs, atomic = await sync_to_async(
                lambda: (self.get_parts(), offload.in_atomic_block())
            )()

        plan = make_plan(pairs, max_parts=settings.max_parts)
        wanted = request.query_params.get("parts")

        # A live stream tells itself of a part that has gone.
        if wanted is not None and not live.is_check(request):
            plan = plan.only(name for name in wanted.split(",") if name)

        scope = Scope(
            request=request,
            in_transaction=atomic,
            max_running=settings.max_running_parts,
        )

        return plan, scope

    def _chunk_size(self, asked: str | None) -> int:
        settings = conf.current()

        if asked is None:
            return self.chunk_size or settings.chunk_size

        if not (asked.isascii() and asked.isdigit() and 0 < len(asked) < 10) or (
            int(asked) < 1
        ):
            raise BadRequestError(
                f"chunk_size is {asked[:20]!r}; expected a whole number of parts, at "
                "least 1."
            )

        return min(int(asked), self.max_chunk_size or settings.max_chunk_size)


def _binding(view: Any, request: Any) -> cursors.Binding:
    cls = type(view)

    return cursors.Binding(
        view=f"{cls.__module__}.{cls.__qualname__}",
        user=getattr(request.user, "pk", None),
        kwargs=view.kwargs,
    )


def _carried(query: QueryDict) -> str:
    kept = query.copy()

    for name in NOT_CARRIED:
        kept.pop(name, None)

    return kept.urlencode()


def _restored(first: str, own: QueryDict) -> QueryDict:
    """The first request's query; a follow-up's own chunk_size counts."""
    query = QueryDict(first, mutable=True)

    if "chunk_size" in own:
        query["chunk_size"] = str(own["chunk_size"])

    return query


def _streams(request: Any) -> bool:
    # Under WSGI a stream would be held back until its end; pages never are.
    return _is_asgi(request) and isinstance(request.accepted_renderer, NDJSONRenderer)


def _as_page(request: Any) -> None:
    request.accepted_renderer = PageRenderer()
    request.accepted_media_type = PageRenderer.media_type


def _is_asgi(request: Any) -> bool:
    return isinstance(request._request, ASGIRequest)


def _gone_frame(name: str) -> frames.Part | frames.Error:
    return Resolved(name=name, ms=0.0, problem=gone_problem(name)).frame(None)


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


class OperationEventsView(AsyncView, OperationView):
    """A job as a stream of frames; as JSON, its status."""

    renderer_classes = [NDJSONRenderer, PageRenderer]

    async def get(self, request: Any, job_id: UUID) -> HttpResponseBase:
        job = await sync_to_async(self.get_job)(job_id)

        if _streams(request):
            return FrameResponse(progress.follow(job.pk))

        _as_page(request)

        return _status(job)


class OperationResultsView(AsyncView, OperationView):
    """The refused rows of a job, in input order, as NDJSON or CSV.

    The CSV has the columns of the input and four of ours, so that it can be corrected
    and sent again as it is.
    """

    renderer_classes = [NDJSONRenderer, CSVRenderer]

    async def get(self, request: Any, job_id: UUID) -> HttpResponseBase:
        job = await sync_to_async(self._job_with_columns)(job_id)
        outcome = request.query_params.get("outcome", "failed")

        if outcome != "failed":
            raise BadRequestError(f"outcome is {outcome[:40]!r}; expected 'failed'.")

        renderer = request.accepted_renderer
        as_csv = isinstance(renderer, CSVRenderer)
        pieces = results.failed(job, as_csv=as_csv)
        response = StreamingHttpResponse(
            results.off_the_loop(pieces) if _is_asgi(request) else pieces,
            content_type=renderer.media_type + ("; charset=utf-8" if as_csv else ""),
        )
        name = f"{outcome}-{job.pk}.{renderer.format}"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        response["Cache-Control"] = "no-store"

        return response

    def _job_with_columns(self, job_id: UUID) -> Job:
        self.get_job(job_id)

        return states.jobs().only("spec").get(pk=job_id)
