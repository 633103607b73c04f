"""Slow Django APIs answer at once, big writes are safe.

The names below are loaded when they are first used (PEP 562), so that importing
the package needs neither settings nor an app registry.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .jobs.observer import JobEvent, observe_jobs, unobserve_jobs
    from .jobs.own_work import register_work, submit_work
    from .jobs.work import (
        Budget,
        Step,
        Tally,
        Work,
        WorkPostponedError,
        WorkRefusedError,
    )
    from .parts.caching import cached_for
    from .parts.composing import safe_call, with_timeout
    from .parts.observer import PartEvent, observe, unobserve
    from .parts.part import lazy
    from .topics import apublish, publish, topics_for
    from .views import ProgressiveView

__all__ = (
    "Budget",
    "JobEvent",
    "PartEvent",
    "ProgressiveView",
    "Step",
    "Tally",
    "Work",
    "WorkPostponedError",
    "WorkRefusedError",
    "apublish",
    "cached_for",
    "lazy",
    "observe",
    "observe_jobs",
    "publish",
    "register_work",
    "safe_call",
    "submit_work",
    "topics_for",
    "unobserve",
    "unobserve_jobs",
    "with_timeout",
)

_HOMES = {
    "Budget": "django_partstream.jobs.work",
    "JobEvent": "django_partstream.jobs.observer",
    "PartEvent": "django_partstream.parts.observer",
    "ProgressiveView": "django_partstream.views",
    "Step": "django_partstream.jobs.work",
    "Tally": "django_partstream.jobs.work",
    "Work": "django_partstream.jobs.work",
    "WorkPostponedError": "django_partstream.jobs.work",
    "WorkRefusedError": "django_partstream.jobs.work",
    "apublish": "django_partstream.topics",
    "cached_for": "django_partstream.parts.caching",
    "lazy": "django_partstream.parts.part",
    "observe": "django_partstream.parts.observer",
    "observe_jobs": "django_partstream.jobs.observer",
    "publish": "django_partstream.topics",
    "register_work": "django_partstream.jobs.own_work",
    "safe_call": "django_partstream.parts.composing",
    "submit_work": "django_partstream.jobs.own_work",
    "topics_for": "django_partstream.topics",
    "unobserve": "django_partstream.parts.observer",
    "unobserve_jobs": "django_partstream.jobs.observer",
    "with_timeout": "django_partstream.parts.composing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
