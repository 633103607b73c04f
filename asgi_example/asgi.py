"""The whole ASGI application: HTTP, the socket, and the jobs of this process."""

from __future__ import annotations

import os

from django_partstream.asgi import get_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "asgi_example.settings")

application = get_application()
