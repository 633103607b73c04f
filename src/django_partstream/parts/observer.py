"""What becomes of parts, told to whoever wants to know."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import logging
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Observer", "PartEvent", "mark_cached", "notify", "observe", "watch_cache")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartEvent:
    """One step in the life of one part."""

    kind: Literal["started", "finished", "failed", "cancelled"]
    #: Dotted path of the view class.
    view: str
    part: str
    #: Of the part's own work; None for `started`.
    ms: float | None = None
    #: Its value came from a cache (see `cached_for`).
    cached: bool = False
    #: Of the problem, for `failed`.
    code: str | None = None


class Observer(Protocol):
    """Called on the event loop, so that it must not block."""

    def __call__(self, event: PartEvent, /) -> None: ...


_observers: list[Observer] = []
_cached = contextvars.ContextVar[list[bool] | None](
    "django_partstream.cached", default=None
)


def observe(observer: Observer) -> Observer:
    """Tell `observer` of every part of this process from now on. Also a decorator."""
    if observer not in _observers:
        _observers.append(observer)

    return observer


def notify(event: PartEvent) -> None:
    """Tell all observers. One that raises is logged, and harms no part."""
    for observer in _observers:
        try:
            observer(event)
        except Exception:
            logger.exception("an observer of parts failed")


@contextlib.contextmanager
def watch_cache() -> Iterator[list[bool]]:
    """Collect what `mark_cached` says inside: the list is not empty after a hit."""
    marks: list[bool] = []
    token = _cached.set(marks)

    try:
        yield marks
    finally:
        _cached.reset(token)


def mark_cached() -> None:
    """The value of the part at hand came from a cache."""
    marks = _cached.get()

    if marks is not None:
        marks.append(True)
