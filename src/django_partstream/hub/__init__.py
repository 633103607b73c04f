"""The only door to the channel layer: publish to a group, follow a group.

A message is a hint that may be lost, never the truth: whoever follows a group reads
the truth elsewhere, after joining and now and then. Without a channel layer the
groups reach as far as this process.
"""

from __future__ import annotations

from .following import Listening, join, listening
from .groups import Hub, Receiver, running_hubs
from .layer import LAYER_SECONDS
from .mailbox import Mailbox, Taken
from .membership import Membership
from .publishing import Statistics, deliver_here, ends_here, publish, statistics

__all__ = (
    "LAYER_SECONDS",
    "Hub",
    "Listening",
    "Mailbox",
    "Membership",
    "Receiver",
    "Statistics",
    "Taken",
    "deliver_here",
    "ends_here",
    "join",
    "listening",
    "publish",
    "running_hubs",
    "statistics",
)
