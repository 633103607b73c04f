"""What the parts of one response have in common."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django_partstream import offload

from .part import Lazy, Part

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Scope",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the parts of one response are resolved with."""

    #: Handed to part functions and to serializers as their context. There is no
    #: response yet, so that a part can set no header and no cookie.
    request: Any
    #: Dotted path of the view class, for observers.
    view: str = ""
    #: The request's thread is inside a transaction, whose rows parts must see: they
    #: all run there, one by one.
    in_transaction: bool = False
    #: Parts that are made, or wait to be sent, at a time.
    max_running: int

    def run_sync(self, part: Part) -> offload.RunSync:
        """How the sync functions of this part are called."""
        if self.holds_request_thread([part]):
            return offload.run_in_request_thread

        return offload.run_sync

    def holds_request_thread(self, parts: Iterable[Part]) -> bool:
        """Whether one of these runs in the thread of the request."""
        return self.in_transaction or any(
            isinstance(part.value, Lazy) and part.value.thread == "request"
            for part in parts
        )
