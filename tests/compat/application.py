"""The addresses of these tests under servers: `uvicorn tests.compat.application:asgi`,
`gunicorn tests.compat.application:wsgi`."""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
settings.ROOT_URLCONF = "tests.compat.urls"

# After the settings, which they read.
from django.core.wsgi import get_wsgi_application  # noqa: E402

from django_partstream.asgi import get_application  # noqa: E402

asgi = get_application()
wsgi = get_wsgi_application()
