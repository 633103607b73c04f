"""Functions that are told of events, one after the other, where these happen."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = ("Observers",)

Event = TypeVar("Event")


class Observers(Generic[Event]):
    """Whoever wants to know; true while there is anybody. For several threads."""

    def __init__(self, logger: logging.Logger, failure: str) -> None:
        self._logger = logger
        self._failure = failure
        #: Replaced, never changed: one may come or go while others are being told.
        self._known: tuple[Callable[[Event], object], ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, observer: Callable[[Event], object], refusal: str) -> None:
        """Tell `observer` from now on, once.

        Raises TypeError with `refusal` for what is no plain function of one event.
        """
        if not callable(observer) or inspect.iscoroutinefunction(observer):
            raise TypeError(refusal)

        with self._lock:
            if observer not in self._known:
                self._known = (*self._known, observer)

    def remove(self, observer: Callable[[Event], object]) -> None:
        """Tell `observer` no more. Of one that is not told, nothing."""
        with self._lock:
            self._known = tuple(known for known in self._known if known != observer)

    def tell(self, event: Event, **extra: Any) -> None:
        """Tell all. One that raises is logged with `extra`, and harms nobody."""
        for observer in self._known:
            try:
                observer(event)
            except Exception:
                self._logger.exception(self._failure, extra=extra)
