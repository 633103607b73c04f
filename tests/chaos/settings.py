"""Settings of the processes that the chaos tests start and end."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [
    *json.loads(os.environ.get("CHAOS_APPS", "[]")),
    *INSTALLED_APPS,
    "tests.chaos.apps.ChaosConfig",
]
ASGI_APPLICATION = "tests.chaos.application.asgi"
ROOT_URLCONF = "tests.chaos.urls"
PARTSTREAM = json.loads(os.environ.get("CHAOS_PARTSTREAM", "{}"))
