"""A subscription is a GET through the whole of Django, whose frames are taken.

Middleware, decorators and the view's own authentication, permission and throttle
classes run as they do for HTTP, so that nothing that guards HTTP can be missed here.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlencode, urlsplit

from django.utils.encoding import iri_to_uri

from . import handler
from .problems import Problem
from .transports import websocket
from .transports.websocket import RefusedError, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from .frames import Frame

__all__ = ("SOCKET_PATH", "PartStreamConsumer", "open_subscription")

SOCKET_PATH = "ws/partstream/"

MAX_URL_BYTES = 4 * 1024

#: Headers of the handshake that speak of the handshake, not of who made it.
NOT_CARRIED = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"keep-alive",
        b"last-event-id",
        b"prefer",
        b"proxy-connection",
        b"range",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
NOT_CARRIED_PREFIXES = (b"if-", b"sec-websocket-")


@contextlib.asynccontextmanager
async def open_subscription(
    subscription: Subscription,
) -> AsyncIterator[AsyncGenerator[Frame]]:
    """Ask for what the subscription names, and yield the frames of the answer.

    Raises RefusedError where a GET is answered with anything else than frames. The
    response is closed, and its work ended, with this scope.
    """
    scope = _request_scope(subscription)

    async with handler.respond(scope) as response:
        frames = getattr(response, "frames", None)

        if response.status_code != HTTPStatus.OK or not callable(frames):
            raise RefusedError(handler.problem_of_response(response))

        async with contextlib.aclosing(frames()) as producer:
            yield producer


class PartStreamConsumer(websocket.PartStreamConsumer):
    """Whatever has frames at an address of this site, over a socket."""

    open = staticmethod(open_subscription)


def _request_scope(subscription: Subscription) -> dict[str, Any]:
    """The GET that the client would have sent with the cookies of its handshake."""
    handshake = subscription.scope
    path, query = _path_and_query(subscription.url)
    extra = {"cursor": subscription.cursor} if subscription.cursor else {}
    extra |= {"live": "1"} if subscription.live else {}
    query = "&".join(filter(None, (query, urlencode(extra))))

    return {
        "type": "http",
        "asgi": handshake.get("asgi", {"version": "3.0"}),
        "http_version": handshake.get("http_version", "1.1"),
        "method": "GET",
        "scheme": "https" if handshake.get("scheme") in ("wss", "https") else "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": handshake.get("root_path", ""),
        "headers": _headers(handshake, subscription.headers),
        "client": handshake.get("client"),
        "server": handshake.get("server"),
    }


def _path_and_query(url: str) -> tuple[str, str]:
    if len(url.encode(errors="replace")) > MAX_URL_BYTES:
        raise RefusedError(_bad(f"A url must not exceed {MAX_URL_BYTES} bytes."))

    if not url.startswith("/") or url.startswith("//") or not url.isprintable():
        raise RefusedError(
            _bad("A url must be a path on this site, such as '/api/dashboard/'.")
        )

    parts = urlsplit(iri_to_uri(url))

    return parts.path, parts.query


def _headers(
    handshake: Mapping[str, Any], own: Mapping[str, str]
) -> list[tuple[bytes, bytes]]:
    headers = [
        (name, value)
        for name, value in handshake.get("headers", ())
        if name not in NOT_CARRIED
        and not name.startswith(NOT_CARRIED_PREFIXES)
        and name.decode("latin-1") not in own
    ]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in own.items()]

    return [*headers, (b"accept", b"application/x-ndjson")]


def _bad(detail: str) -> Problem:
    return Problem(status=400, code="bad_request", detail=detail)
