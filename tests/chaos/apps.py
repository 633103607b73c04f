"""Makes every process that has these settings know the work of the chaos tests."""

from __future__ import annotations

from django.apps import AppConfig


class ChaosConfig(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from . import work  # noqa: F401 - registers it
