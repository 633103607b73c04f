"""The servers that are sent rows."""

from __future__ import annotations

import contextlib
import os

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.apps.ledger_settings"

from django_partstream.asgi import get_application

__all__ = ("application",)

application = get_application(background=contextlib.nullcontext)
