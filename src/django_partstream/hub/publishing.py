"""Messages on their way out."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

from . import layer as layers
from .groups import hubs, running_hubs
from .layer import LAYER_SECONDS, Health

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("Statistics", "deliver_here", "ends_here", "publish", "statistics")

_health = Health("publishing")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the hubs of this process hold."""

    groups: int
    mailboxes: int
    #: Messages that the layer did not take, since the process began.
    unpublished: int


async def publish(group: str, message: Mapping[str, Any]) -> None:
    """Send a small JSON-able message to whoever follows the group, in any process.

    Never raises because of the layer, and takes about a second at worst. A message
    that the layer did not take still reaches the followers in this process.
    """
    message = dict(message)

    try:
        layer = layers.current()

        if not layers.ends_here(layer):
            async with asyncio.timeout(LAYER_SECONDS):
                await layer.group_send(
                    layers.name_of(group), layers.envelope(group, message)
                )

            _health.worked()
            return
    except Exception as error:
        _health.failed(error)

    deliver_here(group, message)


def deliver_here(group: str, message: Mapping[str, Any]) -> None:
    """Hand the message to the followers in this process, from any thread."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None

    for hub in hubs():
        if hub.loop is here:
            hub.deliver(group, message)
        else:
            hub.deliver_soon(group, message)


def ends_here() -> bool:
    """Whether messages reach this process alone, so that `deliver_here` is all that
    publishing can do."""
    try:
        return layers.ends_here(layers.current())
    except Exception as error:
        _health.failed(error)

        return True


def statistics() -> Statistics:
    """What is followed in this process, and what could not be published."""
    running = running_hubs()

    return Statistics(
        groups=sum(len(hub.groups()) for hub in running),
        mailboxes=sum(hub.mailboxes for hub in running),
        unpublished=_health.failures,
    )
