"""The socket, for those who compose their ASGI application themselves.

`asgi.get_application()` is the same in one line. What is made here has no origin
check: put one in front of it.
"""

from __future__ import annotations

from django.urls import path

from .subscriptions import SOCKET_PATH, PartStreamConsumer

__all__ = ("PartStreamConsumer", "websocket_urlpatterns")

websocket_urlpatterns = [path(SOCKET_PATH, PartStreamConsumer.as_asgi())]
