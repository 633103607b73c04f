from __future__ import annotations

from django.apps import AppConfig


class FlightsConfig(AppConfig):
    name = "asgi_example.flights"
    label = "flights"
