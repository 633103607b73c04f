from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

NAMES = ("ann", "bob")


class Command(BaseCommand):
    help = (
        "Makes the users of the demo: ann with the password ann-demo, bob with "
        "bob-demo. May be repeated: users that are there already are left as they are."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO_FULL:
            raise CommandError(
                "Users with published passwords are for the demo only. "
                "Set DEMO_FULL=1 if this is one."
            )

        users = get_user_model()._default_manager

        for name in NAMES:
            if users.filter(username=name).exists():
                self.stdout.write(f"{name}: already there")
                continue

            users.create_user(username=name, password=f"{name}-demo")
            self.stdout.write(f"{name}: made, password {name}-demo")
