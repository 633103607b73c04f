"""Django's whole handler, asked from inside: middleware, decorators, view.

Who answers a request that did not come over HTTP asks here, so that nothing that
guards HTTP can be missed.
"""

from __future__ import annotations

import contextlib
import functools
import io
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.core import signals
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import setting_changed
from django.urls import set_script_prefix

from .problems import Problem
from .transports.lent_threads import lent_thread
from .transports.request_thread import call, close, close_connections, end_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from django.http.response import HttpResponseBase

__all__ = ("problem_of_response", "respond")

#: No problem of ours is larger; what is, is no problem.
MAX_PROBLEM_BYTES = 64 * 1024
#: For answers that name none: DRF's own, which its renderers leave out.
CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    410: "gone",
    429: "throttled",
}
MEMBERS = frozenset({"type", "title", "status", "detail", "code"})


def respond(scope: dict[str, Any]) -> AbstractAsyncContextManager[HttpResponseBase]:
    """The response to a GET of this ASGI scope; it is closed, and its request finished,
    when the context is left, or at once where the response says `is_over`.

    A stream may have hours before it, so that the thread of the request and its
    connections are given back as soon as the response is there, unless the
    response says `holds_request_thread`.
    """
    return _handler().respond(scope)


def problem_of_response(response: HttpResponseBase) -> Problem:
    """What an answer that is not the one hoped for says."""
    status = response.status_code

    # The Accept is ours, so that 406 says as much as an answer in another form.
    if status < HTTPStatus.BAD_REQUEST or status == HTTPStatus.NOT_ACCEPTABLE:
        return _not_streamable(response)

    document = _document(response)
    detail = document.get("detail")
    code = document.get("code")

    return Problem(
        status=status,
        code=code if isinstance(code, str) else CODES.get(status, "error"),
        detail=detail if isinstance(detail, str) else _fallback(response),
        extra={name: value for name, value in document.items() if name not in MEMBERS},
    )


def _not_streamable(response: HttpResponseBase) -> Problem:
    detail = "There is nothing to subscribe to at this address."
    location = response.headers.get("Location")

    if location is not None:
        detail = f"This address redirects to {location[:200]!r}; subscribe to that."

    return Problem(status=404, code="not_streamable", detail=detail)


def _document(response: HttpResponseBase) -> dict[str, Any]:
    """The problem in the answer's body: RFC 9457, or DRF's `{"detail": …}`."""
    content = getattr(response, "content", b"")
    media = response.headers.get("Content-Type", "").partition(";")[0]
    is_problem = media == "application/problem+json"

    if not (is_problem or media == "application/json"):
        return {}

    if len(content) > MAX_PROBLEM_BYTES:
        return {}

    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}

    if not isinstance(document, dict):
        return {}

    # What else a view of somebody else's puts into its errors is not ours to pass on.
    return document if is_problem else {"detail": document.get("detail")}


def _fallback(response: HttpResponseBase) -> str:
    if settings.DEBUG and response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # Django's plain-text report begins with the exception and its text.
        report = getattr(response, "content", b"").decode(errors="replace")

        return " ".join(report.splitlines()[:2])

    return f"The address answered {response.status_code} {response.reason_phrase}."


class _Handler(ASGIHandler):
    """Django's own handler, less the reading of a body and the sending of an answer."""

    @contextlib.asynccontextmanager
    async def respond(self, scope: dict[str, Any]) -> AsyncIterator[HttpResponseBase]:
        response: HttpResponseBase | None = None
        begun = is_finished = False

        async with lent_thread():
            try:
                set_script_prefix(get_script_prefix(scope))
                await signals.request_started.asend(sender=self.__class__, scope=scope)
                begun = True
                request, response = self.create_request(scope, io.BytesIO())

                if request is not None:
                    response = await self.run_get_response(request)

                assert response is not None  # there is one where there is no request

                is_needed = getattr(response, "holds_request_thread", False)
                is_finished = getattr(response, "is_over", False) and not is_needed

                if is_finished:
                    await _finish(response)
                elif not is_needed and await close_connections():
                    end_thread()

                yield response
            finally:
                if response is None and begun:
                    await signals.request_finished.asend(sender=self.__class__)

                if not is_finished:
                    await _finish(response)


async def _finish(response: HttpResponseBase | None) -> None:
    if await call(_close, response):
        end_thread()


def _close(response: HttpResponseBase | None) -> bool:
    """Close it, and the connections of this thread. Whether all are closed."""
    try:
        if response is not None:
            response.close()
    finally:
        closed = close()

    return closed


@functools.cache
def _handler() -> _Handler:
    return _Handler()


def _reload(*, setting: str, **_: Any) -> None:
    if setting == "MIDDLEWARE":
        _handler.cache_clear()


setting_changed.connect(_reload, dispatch_uid="django_partstream.handler")
