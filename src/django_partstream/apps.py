"""The Django application."""

from __future__ import annotations

import importlib.util

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

__all__ = ("PartstreamConfig",)


class PartstreamConfig(AppConfig):
    name = "django_partstream"
    label = "partstream"
    verbose_name = _("Partstream")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks, legacy  # noqa: F401 - registers them
        from .jobs.embedded_queue import start_with_first_request

        start_with_first_request()
        has_metrics = importlib.util.find_spec("prometheus_client") is not None

        if legacy.value_of("ENABLE_METRICS") and has_metrics:
            # A setting of the older packages.
            from .contrib import prometheus

            prometheus.enable()
            prometheus.enable_jobs()

        if apps.is_installed("drf_spectacular"):
            importlib.import_module("django_partstream.contrib.spectacular")
