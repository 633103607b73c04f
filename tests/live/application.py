"""An application for servers of their own, which TEST_SITE sets up.

uvicorn tests.live.application:application
"""

from __future__ import annotations

import contextlib
import json
import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

for name, value in json.loads(os.environ.get("TEST_SITE", "{}")).items():
    setattr(settings, name, value)

settings.ROOT_URLCONF = "tests.live.urls"

from django_partstream.asgi import get_application  # noqa: E402 - reads the settings

application = get_application(background=contextlib.nullcontext)
