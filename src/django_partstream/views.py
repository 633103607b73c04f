"""Progressive views; those of jobs are in `operation_views`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.http import QueryDict
from rest_framework.response import Response

from . import conf, frames, live, offload
from .errors import BadRequestError, CursorExpiredError
from .operation_views import (
    OperationEventsView,
    OperationListView,
    OperationResultsView,
    OperationRetryView,
    OperationStatusView,
)
from .parts import cursor as cursors
from .parts.plan import Plan, make_plan
from .parts.runner import Resolved, Scope, gone_problem, resolve_all, stream
from .renderers import EventRenderer, NDJSONRenderer, PageRenderer
from .streamable import StreamableView
from .transports.pages import page
from .transports.request_thread import call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http.response import HttpResponseBase

__all__ = (
    "OperationEventsView",
    "OperationListView",
    "OperationResultsView",
    "OperationRetryView",
    "OperationStatusView",
    "ProgressiveView",
)

#: Of the first request's query, what a follow-up says for itself.
NOT_CARRIED = ("cursor", "format", "live")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """What a request turned out to ask for, found in its own thread."""

    binding: cursors.Binding
    owed: cursors.Owed | None
    #: The query string that a cursor carries on.
    query: str
    #: What `get_parts()` returned, or what to await for it.
    pairs: Any
    in_transaction: bool


class ProgressiveView(StreamableView):
    """A response that is made of named parts, each sent when it is ready.

        class Dashboard(ProgressiveView):
            def get_parts(self):
                return [
                    ("meta", {"timestamp": timezone.now()}),
                    ("orders", lazy(self.get_orders)),
                ]

    The same view is read as cursor pages (`application/json`), as a stream of lines
    (`application/x-ndjson`) or of events (`text/event-stream`), or through a WebSocket
    subscription. Under WSGI whoever asks for a stream gets pages. Authentication,
    permissions, throttles and `get_parts()` run before the first byte, on every
    request.
    """

    #: Parts of a page; None: `PARTSTREAM['CHUNK_SIZE']`.
    chunk_size: int | None = None
    #: None: `PARTSTREAM['MAX_CHUNK_SIZE']`.
    max_chunk_size: int | None = None
    #: Seconds that a cursor is good for; None: `PARTSTREAM['CURSOR_TTL_SECONDS']`.
    cursor_ttl: float | None = None
    #: None: `PARTSTREAM['MAX_PARTS']`.
    max_parts: int | None = None
    #: Parts of one answer that run at once; None: `PARTSTREAM['MAX_RUNNING_PARTS']`.
    max_running_parts: int | None = None
    #: Seconds that a stream may take; None: `PARTSTREAM['STREAM_DEADLINE_SECONDS']`.
    stream_deadline: float | None = None
    #: Seconds after which the parts of a live stream are made again though no topic of
    #: theirs was published; None: `PARTSTREAM['LIVE_REFRESH_SECONDS']`.
    live_refresh: float | None = None

    renderer_classes = [PageRenderer, NDJSONRenderer, EventRenderer]

    _opening: _Opening | None = None

    def get_parts(self) -> Any:
        """The parts: a list of (name, value) pairs. May be async.

        A value is JSON-able data, or `lazy(fn)`. Runs on every request, so that a
        client never gets a part that it may no longer see.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have get_parts(), which returns a list of "
            "(name, value) pairs."
        )

    async def async_dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """adrf's, with one hop to the thread of the request in place of two."""
        if request.method not in ("GET", "HEAD") or not self._gets_as_we_do():
            return await super().async_dispatch(request, *args, **kwargs)

        self.args, self.kwargs = args, kwargs
        self.request = request = self.initialize_request(request, *args, **kwargs)
        self.headers = self.default_response_headers

        try:
            await call(self._begin, request)
            response: Any = await self.get(request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)

        self.response = self.finalize_response(request, response, *args, **kwargs)

        return self.response

    def _gets_as_we_do(self) -> bool:
        # A `get` of somebody's own may do something before it calls ours.
        return type(self).get is ProgressiveView.get

    def _begin(self, request: Any) -> None:
        self.initial(request, *self.args, **self.kwargs)

        if not self.answers_done(request):
            self._opening = self._open(request)

    async def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if self.answers_done(request):
            return self.done_response()

        opening = self._opening

        if opening is None:
            opening = await call(self._open, request)

        plan = await self._plan(request, opening)
        scope = Scope(
            request=request,
            view=opening.binding.view,
            in_transaction=opening.in_transaction,
            max_running=self.max_running_parts or conf.current().max_running_parts,
        )

        if live.is_check(request):
            return live.Checked(live.Permitted(plan=plan, scope=scope))

        owed = opening.owed
        names, gone = (plan.names, ()) if owed is None else owed.of(plan.names)
        is_live = self._wants_live(request)
        wanted = set(names)
        # Whoever comes back may have missed changes of what it was sent.
        parts = [
            part
            for part in plan.parts
            if part.name in wanted or (is_live and live.is_live(part))
        ]
        sign = _Signer(opening)
        # Before the first byte: it raises when the query is too long to be carried.
        sign(part.name for part in parts)

        if self.wants_stream(request):
            deadline = self.stream_deadline or conf.current().stream_deadline_seconds
            producer = stream(parts, scope, sign=sign, gone=gone, deadline=deadline)

            if is_live:
                producer = live.follow(
                    producer,
                    live.Permitted(plan=plan, scope=scope),
                    query=opening.query,
                    deadline=deadline,
                    refresh=self.live_refresh or conf.current().live_refresh_seconds,
                )

            return self.stream_response(
                request,
                producer,
                holds_request_thread=scope.holds_request_thread(parts),
            )

        self.as_page(request)
        size = self._chunk_size(request.query_params.get("chunk_size"))
        resolved = await resolve_all(parts[:size], scope)
        later = sign(names[size:])
        shown = [_gone_frame(name) for name in gone]
        shown += [result.frame(None) for result in resolved]

        return Response(
            page(shown, cursor=later, total_parts=len(plan.parts)),
            headers={"Cache-Control": "no-store"},
        )

    def check_throttles(self, request: Any) -> None:
        # Nobody asks twice when a live stream looks whether it may go on.
        if not live.is_check(request):
            super().check_throttles(request)

    def _wants_live(self, request: Any) -> bool:
        return self.wants_stream(request) and live.is_wanted(request)

    def _open(self, request: Any) -> _Opening:
        """In the thread of the request, which knows of its transaction."""
        binding = _binding(self, request)
        owed = self._owed(request, binding)

        if owed is not None:
            # Authenticated as it is; from here on it asks what the first one asked.
            request._request.GET = _restored(owed.query, request.query_params)

        query = _carried(request.query_params)
        is_async = asyncio.iscoroutinefunction(self.get_parts)

        return _Opening(
            binding=binding,
            owed=owed,
            query=query,
            pairs=None if is_async else _listed(self.get_parts()),
            in_transaction=offload.in_atomic_block(),
        )

    def _owed(self, request: Any, binding: cursors.Binding) -> cursors.Owed | None:
        token = self.last_event_id(request) or request.query_params.get("cursor")

        if not token:
            return None

        ttl = self.cursor_ttl or conf.current().cursor_ttl_seconds

        try:
            return cursors.read(token, binding, ttl=ttl)
        except CursorExpiredError:
            # A live stream outlives its cursors, and is simply asked for again.
            if self._wants_live(request):
                return None

            raise

    async def _plan(self, request: Any, opening: _Opening) -> Plan:
        pairs = opening.pairs

        if asyncio.iscoroutinefunction(self.get_parts):
            pairs = await self.get_parts()

        plan = make_plan(pairs, max_parts=self.max_parts or conf.current().max_parts)
        wanted = request.query_params.get("parts")

        # A live stream tells itself of a part that has gone.
        if wanted is None or live.is_check(request):
            return plan

        names = {name for name in wanted.split(",") if name}

        # What the first request named may be gone by now, which is told as such.
        if opening.owed is not None:
            names.intersection_update(plan.names)

        return plan.only(names)

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


def _listed(pairs: Any) -> Any:
    # A generator queries as it goes: here, not on the event loop.
    return list(pairs) if isinstance(pairs, Iterator) else pairs


class _Signer:
    """The cursor of an opening that owes these names: the last one is kept."""

    __slots__ = ("_cursor", "_names", "_opening")

    def __init__(self, opening: _Opening) -> None:
        self._opening = opening
        self._names: tuple[str, ...] = ()
        #: Nothing owed has none.
        self._cursor: str | None = None

    def __call__(self, left: Iterable[str]) -> str | None:
        names = tuple(left)

        if names != self._names:
            owed = cursors.Owed(query=self._opening.query, names=names)
            self._cursor = cursors.sign(owed, self._opening.binding)
            self._names = names

        return self._cursor


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
    """The first request's query; a follow-up's own chunk_size and live count."""
    query = QueryDict(first, mutable=True)

    for name in ("chunk_size", "live"):
        if name in own:
            query[name] = str(own[name])

    return query


def _gone_frame(name: str) -> frames.Part | frames.Error:
    return Resolved(name=name, ms=0.0, problem=gone_problem(name)).frame(None)
