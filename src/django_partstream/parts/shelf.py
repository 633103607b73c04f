"""Values of parts in Django's cache. A cache that fails is as good as an empty one."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.core.cache import caches

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.cache.backends.base import BaseCache

__all__ = ("CLAIM_SECONDS", "Claimed", "Entry", "Shelf", "Taken")

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How long other processes leave a value to the one that said that it makes it.
CLAIM_SECONDS: Final = 30

_CLAIM = ".claim"
_BOOT = secrets.token_hex(8)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A value, and when the work that gave it began."""

    value: Any
    began: float


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """No value is there, and it is for this process to make it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """No value is there, and another process makes it since then."""

    since: float


class Shelf:
    """Blocks while a cache server answers: not for the event loop.

    Each thread has a backend of its own. Django's `caches` would give a new one to
    each call, because ours runs in a copy of its caller's context, and with Redis a
    new connection each time.
    """

    def __init__(self, alias: str = "default") -> None:
        self._alias = alias
        self._local = threading.local()
        self._failing = False

    def get(self, key: str, *, not_before: float) -> Entry | None:
        """The entry, unless its work began before `not_before`."""

        def read(cache: BaseCache) -> Entry | None:
            return _fresh(cache.get(key), not_before)

        return self._try(read, otherwise=None)

    def get_or_claim(self, key: str, *, not_before: float) -> Entry | Claimed | Taken:
        """The entry; or the claim to make it, which is this process's until it puts
        or releases it, or CLAIM_SECONDS are over."""

        def read(cache: BaseCache) -> Entry | Claimed | Taken:
            entry = _fresh(cache.get(key), not_before)

            if entry is not None:
                return entry

            mine = (_process(), time.time())

            if cache.add(key + _CLAIM, mine, CLAIM_SECONDS):
                return Claimed()

            holder, since = cache.get(key + _CLAIM) or mine

            return Claimed() if holder == _process() else Taken(since)

        alone: Entry | Claimed | Taken = Claimed()

        return self._try(read, otherwise=alone)

    def put(self, key: str, entry: Entry, ttl: float) -> None:
        # Redis counts whole seconds, and would take a half for none.
        stored = (entry.value, entry.began, time.time() + ttl)

        def write(cache: BaseCache) -> None:
            cache.set(key, stored, math.ceil(ttl))
            cache.delete(key + _CLAIM)

        self._try(write, otherwise=None)

    def release(self, key: str) -> None:
        def forget(cache: BaseCache) -> None:
            holder, _ = cache.get(key + _CLAIM) or (None, None)

            if holder == _process():
                cache.delete(key + _CLAIM)

        self._try(forget, otherwise=None)

    def _try(self, action: Callable[[BaseCache], T], *, otherwise: T) -> T:
        try:
            done = action(self._cache())
        except Exception:
            if not self._failing:
                logger.exception(
                    "the cache %r fails; parts are made without it", self._alias
                )

            self._failing = True

            return otherwise

        self._failing = False

        return done

    def _cache(self) -> BaseCache:
        # The settings are another object after `override_settings`.
        settings, cache = getattr(self._local, "cache", (None, None))

        if cache is None or settings is not caches.settings:
            settings, cache = caches.settings, caches.create_connection(self._alias)
            self._local.cache = settings, cache

        return cache


def _fresh(stored: Any, not_before: float) -> Entry | None:
    if stored is None:
        return None

    value, began, ends = stored

    return Entry(value, began) if began >= not_before and time.time() < ends else None


def _process() -> str:
    # With the number of the process, because a forked one has the same memory.
    return f"{_BOOT}.{os.getpid()}"
