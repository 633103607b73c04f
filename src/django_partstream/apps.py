"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

__all__ = ("PartstreamConfig",)


class PartstreamConfig(AppConfig):
    name = "django_partstream"
    label = "partstream"
    verbose_name = _("Partstream")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers them
        from .jobs.embedded_queue import start_with_first_request

        start_with_first_request()
