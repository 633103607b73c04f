"""What becomes of parts, told to whoever wants to know.

Of this process alone, whichever way its parts leave: pages, streams, subscriptions.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import logging
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from django_partstream.observers import Observers

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "Observer",
    "PartEvent",
    "is_observed",
    "mark_cached",
    "notify",
    "observe",
    "unobserve",
    "watch_cache",
)

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartEvent:
    """One step in the life of one part. After `started` comes one of the others."""

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

    def __call__(self, event: PartEvent, /) -> object: ...


Observing = TypeVar("Observing", bound=Observer)

_observers = Observers[PartEvent](logger, "an observer of parts failed")
_cached = contextvars.ContextVar[list[bool] | None](
    "django_partstream.cached", default=None
)


def observe(observer: Observing) -> Observing:
    """Tell `observer` of every part of this process from now on. Also a decorator.

        @observe
        def log_slow_parts(event):
            if event.ms and event.ms > 1000:
                logger.warning("%s took %d ms", event.part, event.ms)

    It is called on the event loop with a `PartEvent` and must not block. One that
    raises is logged, and harms no part. Raises TypeError for a coroutine function.
    """
    _observers.add(
        observer,
        f"observe({observer!r}): expected a plain function of one event. It is called "
        "between two steps of the loop and cannot wait; let it put the event on a "
        "queue that something else reads.",
    )

    return observer


def unobserve(observer: Observer) -> None:
    """Tell `observer` no more. Of one that is not told, nothing."""
    _observers.remove(observer)


def is_observed() -> bool:
    """Whether there is anybody to be told."""
    return bool(_observers)


def notify(event: PartEvent) -> None:
    """Tell all observers."""
    _observers.tell(event)


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
