"""The flat settings of the older packages: what each of them means here.

They are read where `PARTSTREAM` says nothing. Nothing else lives here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("OLD", "PREFIXES", "Found", "Old", "found", "value_of", "values")

#: Of `django-bulk-drf`, and of `django-drf-extensions`: the newer first, which counts.
PREFIXES = ("BULK_DRF_", "DRF_EXT_")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What became of a name."""

    #: The key of `PARTSTREAM` that means the same; None: what `instead` says.
    key: str | None = None
    instead: str = ""


#: By the name without its prefix. Of two that mean one key the smaller value counts:
#: neither bound is overstepped.
OLD: dict[str, Old] = {
    "CHUNK_SIZE": Old(key="BATCH_SIZE"),
    "BATCH_SIZE": Old(key="BATCH_SIZE"),
    "MAX_RECORDS": Old(key="MAX_ROWS"),
    "CACHE_TIMEOUT": Old(key="RESULT_TTL_SECONDS"),
    "QUERY_TIMEOUT": Old(key="QUERY_TIMEOUT_SECONDS"),
    "SYNC_UPSERT_MAX_ITEMS": Old(key="UPSERT_MAX_ROWS"),
    "SYNC_UPSERT_TIMEOUT": Old(key="UPSERT_TIMEOUT_SECONDS"),
    "SYNC_UPSERT_BATCH_SIZE": Old(
        instead="It still bounds the batches of /upsert/; none is needed, since "
        "BATCH_SIZE does so for every request."
    ),
    "PROGRESS_UPDATE_INTERVAL": Old(
        instead="None is needed: progress is told with every commit, about once a "
        "second."
    ),
    "USE_OPTIMIZED_TASKS": Old(instead="None is needed: there is one kind of job."),
    "AUTO_OPTIMIZE_QUERIES": Old(
        instead="None is needed: look-ups cost a query for each field and batch."
    ),
    "ENABLE_METRICS": Old(
        instead="While it is true, the metrics of django_partstream.contrib.prometheus "
        "are enabled; call its enable() and enable_jobs() yourself."
    ),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An old name that a project sets."""

    name: str
    value: Any
    old: Old


def found() -> Iterator[Found]:
    """The old names that the settings have, the newer package's first."""
    for prefix in PREFIXES:
        for short, old in OLD.items():
            if hasattr(django_settings, prefix + short):
                yield Found(
                    name=prefix + short,
                    value=getattr(django_settings, prefix + short),
                    old=old,
                )


def value_of(short: str) -> Any:
    """What a name without its prefix is set to; None where it is not."""
    for prefix in PREFIXES:
        if hasattr(django_settings, prefix + short):
            return getattr(django_settings, prefix + short)

    return None


def values() -> Mapping[str, Found]:
    """Which of them counts, by the key of `PARTSTREAM`."""
    counting: dict[str, Found] = {}

    for one in found():
        key = one.old.key

        if key is None:
            continue

        before = counting.get(key)

        if before is None or _is_less(one, before):
            counting[key] = one

    return counting


def _is_less(one: Found, other: Found) -> bool:
    """Whether it is the stricter of two names of one package."""
    same = any(
        one.name.startswith(prefix) and other.name.startswith(prefix)
        for prefix in PREFIXES
    )

    try:
        return same and bool(one.value < other.value)
    except TypeError:
        # Whoever reads it will say that it is no number.
        return same
