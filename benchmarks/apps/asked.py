"""The least that a live delivery costs which asks the whole of Django: one request for
each socket, made in the process, and its answer sent over the socket."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

from . import floors

__all__ = ("application",)

_django: Any = get_asgi_application()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/change/":
        for one in floors.sockets():
            await one({"type": "websocket.send", "text": await _asked(scope)})

        await floors.answer(send, {})
    else:
        await floors.application(scope, receive, send)


async def _asked(scope: Any) -> str:
    pieces: list[bytes] = []
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent

        if sent:
            return {"type": "http.disconnect"}

        sent = True
        return {"type": "http.request", "body": b""}

    async def send(event: Any) -> None:
        pieces.append(event.get("body", b""))

    path = {"path": "/padded/", "raw_path": b"/padded/", "method": "GET"}
    await _django({**scope, **path}, receive, send)

    return b"".join(pieces).decode()
