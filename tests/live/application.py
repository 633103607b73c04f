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

# After the settings, which both read.
from django_partstream.asgi import get_application  # noqa: E402
from tests import documents_site  # noqa: E402

application = get_application(background=contextlib.nullcontext)

if "DOCUMENT" in os.environ:
    settings.ROOT_URLCONF = documents_site.site(os.environ["DOCUMENT"])
