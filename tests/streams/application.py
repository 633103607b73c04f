"""An application for servers of their own, which TEST_SITE sets up."""

from __future__ import annotations

import contextlib
import json
import logging
import os

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

settings.ROOT_URLCONF = "tests.streams.urls"

for name, value in json.loads(os.environ.get("TEST_SITE", "{}")).items():
    setattr(settings, name, value)

# Workers in this process would hold connections of their own.
settings.PARTSTREAM = {**getattr(settings, "PARTSTREAM", {}), "QUEUE": "database"}

# After the settings, which both read.
from django.core.wsgi import get_wsgi_application  # noqa: E402

from django_partstream.asgi import get_application  # noqa: E402

application = get_application(background=contextlib.nullcontext)
wsgi = get_wsgi_application()

# Django itself tells nobody while DEBUG is off.
logging.getLogger("django.request").addHandler(logging.StreamHandler())
