from __future__ import annotations

from django.apps import AppConfig


class AppTestsConfig(AppConfig):
    name = "tests.app"
    label = "app"
