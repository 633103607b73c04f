"""A server with a worker inside: `uvicorn tests.loading_server:application`."""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 4_000_000, "POLL_SECONDS": 0.5}

from django_partstream.asgi import get_application  # noqa: E402 - after the settings

application = get_application()
