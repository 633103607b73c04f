"""A check of settings that the older packages had."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Info

from django_partstream import legacy

__all__ = ("check_older_settings",)


def check_older_settings(**_: Any) -> list[CheckMessage]:
    """Whoever brings a setting along learns what it is called now."""
    return [
        Info(
            f"{one.name} is a setting of an older package.",
            hint=_hint(one),
            id="partstream.I002",
        )
        for one in legacy.found()
    ]


def _hint(one: legacy.Found) -> str:
    if one.old.key is None:
        return one.old.instead

    return (
        f"It counts while PARTSTREAM[{one.old.key!r}] is not set. Write PARTSTREAM = "
        f"{{{one.old.key!r}: {one.value!r}}} in its place."
    )
