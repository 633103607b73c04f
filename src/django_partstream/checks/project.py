"""What the project is, as far as its settings and its URLconf tell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.urls import URLPattern, get_resolver

from django_partstream import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "is_progressive",
    "serves_asgi",
    "serving_processes",
    "view_classes",
    "why_several_processes",
)


def view_classes() -> set[type[Any]]:
    """The classes of the views that have an address."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return set()

    return set(_classes(get_resolver().url_patterns))


def _classes(patterns: Any) -> Iterator[type[Any]]:
    for pattern in patterns:
        if not isinstance(pattern, URLPattern):
            yield from _classes(pattern.url_patterns)
            continue

        # DRF's and adrf's views, then Django's. Decorators carry both along.
        cls = getattr(pattern.callback, "cls", None) or getattr(
            pattern.callback, "view_class", None
        )

        if cls is not None:
            yield cls


def is_progressive() -> bool:
    """Whether a progressive view has an address."""
    from django_partstream.views import ProgressiveView  # needs the models

    return any(issubclass(cls, ProgressiveView) for cls in view_classes())


def serves_asgi() -> bool:
    """Whether the project is meant for ASGI. Nothing says so for certain."""
    return bool(getattr(settings, "ASGI_APPLICATION", None)) or is_progressive()


def serving_processes() -> int:
    """As many as WEB_CONCURRENCY says, which uvicorn and gunicorn read; else 1."""
    count = os.environ.get("WEB_CONCURRENCY", "")

    return max(1, int(count)) if count.isdecimal() else 1


def why_several_processes() -> str | None:
    """What says that there are several, which serve or work on jobs; None where
    nothing does, or the settings cannot be read, which is another check's to say."""
    if conf.problems():
        return None

    if (queue := conf.current().queue) != "embedded":
        return f"PARTSTREAM['QUEUE'] is {queue!r}"

    if (count := serving_processes()) > 1:
        return f"WEB_CONCURRENCY is {count}"

    return None
