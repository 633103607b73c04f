"""Checks of what lies between the server and a progressive view."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning  # noqa: A004
from django.http import HttpRequest, StreamingHttpResponse
from django.middleware.gzip import GZipMiddleware
from django.utils.module_loading import import_string

from . import project

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ("check_compressing_middleware", "check_sync_middleware")


def check_sync_middleware(**_: Any) -> list[CheckMessage]:
    """No middleware makes every request hold a thread."""
    if not project.is_progressive():
        return []

    sync_only = [
        path
        for path, middleware in _middleware()
        if not getattr(middleware, "async_capable", False)
    ]

    if not sync_only:
        return []

    return [
        Warning(
            f"Middleware that is sync-only: {', '.join(sync_only)}. Under ASGI every "
            "request through it holds a thread while its view runs, a page of slow "
            "parts for as long as they take.",
            hint="Use a version that is async_capable, or take it out of MIDDLEWARE.",
            id="partstream.W004",
        )
    ]


def check_compressing_middleware(**_: Any) -> list[CheckMessage]:
    """No middleware compresses streams, which opt out of Django's GZipMiddleware."""
    if not project.is_progressive():
        return []

    return [
        Warning(
            f"{path} compresses streams that say Content-Encoding: identity: each "
            "frame becomes a gzip member of its own, which many clients cannot read.",
            hint="Let it leave alone what has a Content-Encoding, as Django's "
            "GZipMiddleware does, or have a proxy compress pages.",
            id="partstream.W005",
        )
        for path, middleware in _middleware()
        if inspect.isclass(middleware)
        and issubclass(middleware, GZipMiddleware)
        and _compresses_streams(middleware)
    ]


def _middleware() -> Iterator[tuple[str, Any]]:
    for path in settings.MIDDLEWARE:
        try:
            yield path, import_string(path)
        except ImportError:
            # The server says so when it starts.
            continue


def _compresses_streams(middleware: type[GZipMiddleware]) -> bool:
    """Hand it a stream like ours and see."""

    async def frames() -> AsyncIterator[bytes]:
        yield b"{}\n"

    request = HttpRequest()
    request.META["HTTP_ACCEPT_ENCODING"] = "gzip"
    response = StreamingHttpResponse(frames(), headers={"Content-Encoding": "identity"})
    instance = middleware(lambda _: response)
    answer = instance.process_response(request, response)

    return answer.get("Content-Encoding") != "identity"
