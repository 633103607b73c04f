"""Django as it is served without us."""

from __future__ import annotations

from typing import Any

from django.core.asgi import get_asgi_application

__all__ = ("application",)

application: Any = get_asgi_application()
