"""A view whose answer may be a stream of frames."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from adrf.views import APIView as AsyncAPIView
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpResponse
from rest_framework.throttling import BaseThrottle

from . import conf
from .renderers import EventRenderer, FrameRenderer, Negotiation, PageRenderer
from .responses import ProblemMixin
from .stream_slots import slots
from .transports import sse
from .transports.streaming import FrameResponse, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Hashable

    from . import frames

__all__ = ("AsyncView", "StreamableView", "holder_of", "is_asgi")

logger = logging.getLogger(__name__)


class AsyncView(ProblemMixin, AsyncAPIView):  # type: ignore[misc]
    """An async view for any project: Django refuses those with ATOMIC_REQUESTS, on
    whichever database it is set, unless they say that it is not for them."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        view: Any = super().as_view(**initkwargs)

        for alias in connections:
            transaction.non_atomic_requests(using=alias)(view)

        return view


class StreamableView(AsyncView):
    """What streams of parts and of jobs have in common over HTTP.

    Under WSGI a stream would be held back until its end: there, whatever was asked
    for, the answer is JSON.
    """

    #: Seconds of silence after which a stream has a `ping`; None:
    #: `PARTSTREAM['HEARTBEAT_SECONDS']`.
    heartbeat: float | None = None
    #: Seconds after which a client that takes nothing is dropped; None:
    #: `PARTSTREAM['SEND_TIMEOUT_SECONDS']`.
    send_timeout: float | None = None
    #: Frames that wait for a slow client; None: `PARTSTREAM['STREAM_QUEUE_FRAMES']`.
    stream_queue_frames: int | None = None
    #: Streams that one user, or one anonymous address, may have open in a process,
    #: those of other views included; None: `PARTSTREAM['STREAMS_PER_USER']`.
    streams_per_user: int | None = None

    content_negotiation_class = Negotiation

    def wants_stream(self, request: Any) -> bool:
        """Whether the answer is to be a stream."""
        return is_asgi(request) and isinstance(request.accepted_renderer, FrameRenderer)

    def last_event_id(self, request: Any) -> str | None:
        """With what an EventSource comes back; None for whoever comes anew."""
        if not isinstance(request.accepted_renderer, EventRenderer):
            return None

        return request.headers.get("Last-Event-ID") or None

    def answers_done(self, request: Any) -> bool:
        """Whether an EventSource comes back that has had everything."""
        return self.last_event_id(request) == sse.DONE

    def done_response(self) -> HttpResponse:
        """The answer to it: the only one after which it stays away."""
        return HttpResponse(status=HTTPStatus.NO_CONTENT)

    def stream_response(
        self,
        request: Any,
        producer: AsyncGenerator[frames.Frame],
        *,
        holds_request_thread: bool = False,
    ) -> FrameResponse:
        """These frames in the representation that was asked for; for HEAD, none.

        Raises TooManyStreamsError when the caller has as many open as are allowed.
        """
        framing = cast("FrameRenderer", request.accepted_renderer).framing

        if request.method == "HEAD":
            # A generator that was not begun has nothing to end.
            return FrameResponse(_nothing(), framing=framing)

        limit = self.streams_per_user or conf.current().streams_per_user
        slot = slots.take(holder_of(request), limit)
        session = _Session(request)

        def close() -> None:
            slot.give_back()
            session.end()

        return FrameResponse(
            producer,
            framing=framing,
            limits=self._limits(),
            holds_request_thread=holds_request_thread,
            on_begin=session.begin,
            on_close=close,
        )

    def _limits(self) -> Limits:
        settings = conf.current()

        return Limits(
            heartbeat=self.heartbeat or settings.heartbeat_seconds,
            send_timeout=self.send_timeout or settings.send_timeout_seconds,
            queue_frames=self.stream_queue_frames or settings.stream_queue_frames,
        )

    def as_page(self, request: Any) -> None:
        """Answer in JSON, whatever was asked for."""
        request.accepted_renderer = PageRenderer()
        request.accepted_media_type = PageRenderer.media_type

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        self.as_page(request)

        return super().options(request, *args, **kwargs)


def is_asgi(request: Any) -> bool:
    """Whether the request came through ASGI, so that the answer may be async."""
    return isinstance(request._request, ASGIRequest)


class _Session:
    """Knows whether parts changed the session, which was saved before they ran."""

    __slots__ = (
        "_path",
        "_session",
    )

    def __init__(self, request: Any) -> None:
        self._path = request.path
        self._session = getattr(request._request, "session", None)

    def begin(self) -> None:
        if self._session is not None:
            self._session.modified = False

    def end(self) -> None:
        if self._session is not None and self._session.modified:
            self._session.modified = False
            logger.error(
                "A part of %s changed the session, and the change is lost: the session "
                "of a stream is saved before its parts are made. Change it in "
                "get_parts().",
                self._path,
            )


def holder_of(request: Any) -> Hashable:
    """Whose streams are counted together."""
    pk = getattr(request.user, "pk", None)

    # By DRF's idea of an address, which NUM_PROXIES makes strict.
    return BaseThrottle().get_ident(request) if pk is None else (pk,)


async def _nothing() -> AsyncGenerator[frames.Frame]:
    return
    yield  # makes it a generator
