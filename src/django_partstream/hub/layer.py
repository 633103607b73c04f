"""Channels, and how it is doing. Nothing else of the hub knows of it."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from channels.layers import InMemoryChannelLayer, get_channel_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("LAYER_SECONDS", "Health", "current", "ends_here", "envelope", "name_of")

logger = logging.getLogger(__name__)

#: How long one call of the layer may take.
LAYER_SECONDS = 1.0
#: What Channels takes as a name, less our prefix: ASCII, under 100 characters.
PLAIN_NAME = re.compile(r"[a-zA-Z\d\-_.]{1,80}")


class Health:
    """Says once that the layer fails, and once that it works again."""

    __slots__ = ("_doing", "failing", "failures")

    def __init__(self, doing: str) -> None:
        self.failures = 0
        self.failing = False
        self._doing = doing

    def failed(self, error: Exception) -> None:
        self.failures += 1
        level = logging.DEBUG if self.failing else logging.WARNING
        self.failing = True
        logger.log(level, "the channel layer failed at %s: %r", self._doing, error)

    def worked(self) -> None:
        if self.failing:
            self.failing = False
            logger.info("the channel layer works again at %s", self._doing)


def current() -> Any:
    """The layer of the settings; None where there is none."""
    return get_channel_layer()


def ends_here(layer: Any) -> bool:
    """Whether its messages reach this process alone."""
    # The in-memory layer is one of this process, and of one thread of it.
    return layer is None or type(layer) is InMemoryChannelLayer


def envelope(group: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """What goes over the layer."""
    return {"type": "partstream", "group": group, "message": message}


def name_of(group: str) -> str:
    """A name that Channels takes, for a group of any name."""
    if PLAIN_NAME.fullmatch(group):
        return f"partstream.{group}"

    digest = hashlib.blake2b(group.encode(), digest_size=20).hexdigest()

    return f"partstream..{digest}"
