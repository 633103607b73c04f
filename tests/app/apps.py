from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import pre_migrate


class AppTestsConfig(AppConfig):
    name = "tests.app"
    label = "app"

    def ready(self) -> None:
        pre_migrate.connect(_create_collation, sender=self)


def _create_collation(*, using: str, **_: Any) -> None:
    connection = connections[using]

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE COLLATION IF NOT EXISTS caseless "
                "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
            )
