"""Makes every process that has these settings know the work of the chaos tests; those
that CHAOS_HISTORY tells where, write down what they do."""

from __future__ import annotations

import os

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from . import history, work  # noqa: F401 - registers it

        if (path := os.environ.get("CHAOS_HISTORY")) is not None:
            history.write_to(path)
