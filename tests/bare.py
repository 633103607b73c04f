"""Imports the package where only what it requires is there: no test tool, no neighbour.

A program of its own, since an environment that is bare has nothing to start it with:
`tests.wheel` runs it there, and `tests/test_package.py` with the neighbours hidden.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import importlib
import pkgutil
import sys

#: They are imported by whoever has chosen the neighbour.
DOORS = (
    "django_partstream.admin",
    "django_partstream.contrib.",
    "django_partstream.jobs.arq_queue",
)


def main(hidden: list[str]) -> None:
    """Import every module; `hidden` names packages that are not to be found."""
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]

    start()
    import django_partstream

    names = [
        module.name
        for module in pkgutil.walk_packages(
            django_partstream.__path__, "django_partstream."
        )
        if not module.name.startswith(DOORS)
    ]

    for name in names:
        importlib.import_module(name)

    print(f"alone: {len(names)} modules imported, checked, migrated")


def start() -> None:
    """A project of the least that there is."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    settings.configure(
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "django_partstream",
        ],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        SECRET_KEY="bare",
        USE_TZ=True,
    )
    django.setup()
    call_command("check")
    call_command("migrate", verbosity=0)


if __name__ == "__main__":
    main(sys.argv[1:])
