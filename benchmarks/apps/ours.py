"""django-partstream and the Django peers, in one application."""

from __future__ import annotations

import contextlib
from typing import Any

from django_partstream import apublish
from django_partstream.asgi import get_application

__all__ = ("application",)

_django = get_application(background=contextlib.nullcontext)
_open_sockets = 0


async def application(scope: Any, receive: Any, send: Any) -> None:
    global _open_sockets

    if scope["type"] == "websocket":
        _open_sockets += 1

        try:
            await _django(scope, receive, send)
        finally:
            _open_sockets -= 1
    elif scope["type"] == "http" and scope["path"] == "/event/":
        from .job import publish_next

        await publish_next()
        await _answer(send, b"{}")
    elif scope["type"] == "http" and scope["path"] == "/change/":
        from .views import Changing

        Changing.published += 1
        await apublish("bench")
        await _answer(send, b"{}")
    elif scope["type"] == "http" and scope["path"] == "/ready/":
        await _answer(send, b'{"sockets": %d}' % _open_sockets)
    else:
        await _django(scope, receive, send)


async def _answer(send: Any, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": 200, "headers": [length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
