"""The guide's views under a server of their own: `uvicorn tests.guide.application:…`"""

from __future__ import annotations

import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
settings.ROOT_URLCONF = "tests.guide.urls"

# After the settings, which it reads.
from django_partstream.asgi import get_application  # noqa: E402

application = get_application()
