"""Scopes in which groups are followed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .groups import hub_of_this_loop
from .mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from .groups import Hub, Receiver

__all__ = ("Listening", "join", "listening")


@contextlib.asynccontextmanager
async def join(group: str, mailbox: Mailbox | None = None) -> AsyncIterator[Mailbox]:
    """Follow a group, which may have any name, while this scope is open: with a mailbox
    of one's own, or with the one that it yields.

    What is published after the scope was entered arrives, unless it is lost: the
    layer may drop messages, and one that does not answer within a second is not
    waited for.
    """
    mailbox = mailbox or Mailbox()

    try:
        async with listening(mailbox) as following:
            await following.follow((group,))
            yield mailbox
    finally:
        mailbox.close()


class Listening:
    """The groups that one receiver follows, which may change."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        #: And the hub that each was joined at.
        self._followed: dict[str, Hub] = {}

    async def follow(self, groups: Collection[str]) -> None:
        """Follow these groups from here on, and no others."""
        new = [group for group in groups if group not in self._followed]
        old = [group for group in self._followed if group not in groups]

        if new:
            hub = hub_of_this_loop()
            self._followed |= dict.fromkeys(new, hub)
            await hub.enter(new, self._receiver)

        for group in old:
            await self._followed.pop(group).leave((group,), self._receiver)


@contextlib.asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Listening]:
    """Have `receiver` follow groups while this scope is open; none to begin with.

    What is published after `follow` has returned arrives, unless it is lost.
    """
    following = Listening(receiver)

    try:
        yield following
    finally:
        await following.follow(())
