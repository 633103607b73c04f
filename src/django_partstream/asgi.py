"""The whole ASGI application in one line: `application = get_application()`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http.request import split_domain_port, validate_host
from django.urls import path, re_path

from . import conf, encoding, offload
from .errors import TooLargeError
from .problems import CONTENT_TYPE, problem_of
from .subscriptions import SOCKET_PATH, PartStreamConsumer
from .transports import shutdown, socket_messages
from .transports.lent_threads import lent_thread

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = ("get_application",)

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
#: What lives as long as the process serves.
Background = Callable[[], "AbstractAsyncContextManager[Any]"]

#: What Django allows where ALLOWED_HOSTS is empty and DEBUG is on.
DEBUG_HOSTS = (".localhost", "127.0.0.1", "[::1]")


def get_application(*, background: Background | None = None) -> Application:
    """Django's HTTP, the socket at `/ws/partstream/` and the lifespan, in one.

    A socket with an unwelcome Origin is closed with 4403; the hosts in ALLOWED_HOSTS
    are welcome, and so is whoever sends none and is no browser. A body larger than
    MAX_UPLOAD_BYTES is answered with 413 before Django spools it to disk. The lifespan
    runs what `background` opens, by default the queue of jobs, and has streams and
    sockets say goodbye when the process is told to end.
    """
    http: Any = get_asgi_application()

    elsewhere: Any = _no_socket_here
    sockets = URLRouter(
        [path(SOCKET_PATH, PartStreamConsumer.as_asgi()), re_path("", elsewhere)]
    )
    router: Application = ProtocolTypeRouter(
        {
            "http": functools.partial(_http, http),
            "websocket": functools.partial(_websocket, sockets),
            "lifespan": functools.partial(_lifespan, background or _queue),
        }
    )

    return router


async def _http(
    application: Application, scope: Scope, receive: Receive, send: Send
) -> None:
    """Django, behind a limit for the body: its handler takes any body to its end
    before a view runs."""
    limit = conf.current().max_upload_bytes
    received = 0
    too_large = _content_length(scope) > limit

    async def receive_within() -> dict[str, Any]:
        nonlocal received, too_large
        event = await receive()
        received += len(event.get("body", b""))

        if received <= limit:
            return event

        # Django lets go of a request whose client has left.
        too_large = True
        return {"type": "http.disconnect"}

    if not too_large:
        async with lent_thread():
            await application(scope, receive_within, send)

    if too_large:
        await _answer_too_large(limit, send)


async def _answer_too_large(limit: int, send: Send) -> None:
    error = TooLargeError(f"The upload is larger than the {limit} bytes allowed.")
    body = encoding.encode(problem_of(error).wire())
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    start = {"type": "http.response.start", "status": error.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)

    return 0


async def _websocket(
    application: Application, scope: Scope, receive: Receive, send: Send
) -> None:
    origins = [value for name, value in scope["headers"] if name == b"origin"]

    if all(_is_welcome(origin.decode("latin-1")) for origin in origins):
        await application(scope, receive, send)
        return

    # A browser cannot tell a refused handshake from a server that is not there.
    await receive()
    accept = {
        "type": "websocket.accept",
        "subprotocol": socket_messages.negotiate(scope),
    }

    with contextlib.suppress(OSError):
        await send(accept)
        await send(
            {
                "type": "websocket.close",
                "code": 4403,
                "reason": "This origin is refused.",
            }
        )


def _is_welcome(origin: str) -> bool:
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        netloc = ""

    domain, _ = split_domain_port(netloc)

    if settings.DEBUG and not settings.ALLOWED_HOSTS:
        return validate_host(domain, DEBUG_HOSTS)

    return validate_host(domain, settings.ALLOWED_HOSTS)


async def _no_socket_here(_scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def _lifespan(
    background: Background, _scope: Scope, receive: Receive, send: Send
) -> None:
    await receive()
    stage = "startup"

    try:
        async with contextlib.AsyncExitStack() as stack:
            conf.current()
            stack.push_async_callback(asyncio.to_thread, offload.close)
            await stack.enter_async_context(background())
            stack.enter_context(shutdown.chained_signals(shutdown.current()))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            stage = "shutdown"
    except Exception as error:
        logger.exception("the application failed at %s", stage)
        message = f"{type(error).__name__}: {error}"
        await send({"type": f"lifespan.{stage}.failed", "message": message})
        return

    await send({"type": "lifespan.shutdown.complete"})


def _queue() -> AbstractAsyncContextManager[Any]:
    from .jobs.queue import get_queue  # needs the models

    return get_queue().run()
