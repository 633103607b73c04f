"""Who follows what in this process, and the handing out of messages to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from . import layer as layers
from .layer import LAYER_SECONDS
from .membership import Membership

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ("Hub", "Receiver", "hub_of_this_loop", "hubs", "running_hubs")

#: Receivers that are told in one go: with more, the loop has its turn in between.
AT_ONCE = 250


class Receiver(Protocol):
    """Is handed the messages of the groups that it follows, on the event loop."""

    def put(self, message: Mapping[str, Any], /) -> None: ...


class _Group:
    """The followers that this process has of one group."""

    __slots__ = ("joined", "message", "receivers", "untold")

    def __init__(self) -> None:
        #: A dict for its order.
        self.receivers: dict[Receiver, None] = {}
        #: Set once the layer knows of us.
        self.joined = asyncio.Event()
        #: The newest message, and who has not been told of it.
        self.message: Mapping[str, Any] = {}
        self.untold: list[Receiver] = []

    def tell_some(self) -> bool:
        """Whether there are more to be told."""
        told, self.untold = self.untold[:AT_ONCE], self.untold[AT_ONCE:]

        for receiver in told:
            if receiver in self.receivers:
                receiver.put(self.message)

        return bool(self.untold)


class Hub:
    """The groups of one event loop.

    However many follow a group, the layer knows of one member; its messages are
    handed out here, the newest to all, so that one that comes while thousands are
    told takes the place of the one before. It lives from the first follower to the
    last.
    """

    def __init__(self, layer: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._groups: dict[str, _Group] = {}
        #: Messages of other threads, to be delivered at the loop's next turn.
        self._soon: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._membership = None if layer is None else Membership(layer, self)

    async def enter(self, groups: Iterable[str], receiver: Receiver) -> None:
        """Hand the messages of the groups to `receiver` from now on."""
        entered = [self._groups.setdefault(group, _Group()) for group in groups]

        for followed in entered:
            followed.receivers[receiver] = None

        if self._membership is None or not entered:
            return

        self._membership.start(lambda: _running.discard(self))
        self._membership.changed()

        # A follower reads the truth next, and a message sent after that must not
        # pass it by. A layer that does not answer holds nobody up for long.
        if not self._membership.failing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAYER_SECONDS):
                    for followed in entered:
                        await followed.joined.wait()

    async def leave(self, groups: Iterable[str], receiver: Receiver) -> None:
        for group in groups:
            followed = self._groups[group]
            followed.receivers.pop(receiver, None)

            if not followed.receivers:
                del self._groups[group]

                if self._membership is not None:
                    self._membership.forget(group)

        if not self._groups and _hubs.get(self.loop) is self:
            await self._stop()

    def deliver(self, group: str, message: Mapping[str, Any]) -> None:
        """Hand a message to the followers of the group."""
        followed = self._groups.get(group)

        if followed is None:
            return

        # Those who were not told of the one before are told of this one only.
        goes_on = bool(followed.untold)
        followed.message = message
        followed.untold = list(followed.receivers)

        if not goes_on:
            self._tell(followed)

    def _tell(self, followed: _Group) -> None:
        if followed.tell_some():
            self.loop.call_soon(self._tell, followed)

    def deliver_soon(self, group: str, message: Mapping[str, Any]) -> None:
        """Deliver from another thread; of several messages that come before the loop
        has its turn, the last."""
        # Whoever joins after this reads the truth after this.
        if group not in self._groups:
            return

        with self._lock:
            scheduled = group in self._soon
            self._soon[group] = message

        if not scheduled:
            # RuntimeError: the loop was closed, and nobody follows there.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._deliver_now, group)

    def _deliver_now(self, group: str) -> None:
        with self._lock:
            message = self._soon.pop(group)

        self.deliver(group, message)

    def groups(self) -> Collection[str]:
        return self._groups.keys()

    def is_joined(self, group: str) -> None:
        self._groups[group].joined.set()

    @property
    def mailboxes(self) -> int:
        return sum(len(followed.receivers) for followed in self._groups.values())

    async def _stop(self) -> None:
        # Whoever joins from here on gets a hub, and a channel, of their own.
        del _hubs[self.loop]

        if self._membership is None or not self._membership.is_started:
            _running.discard(self)
        else:
            await self._membership.stop()


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
_running: set[Hub] = set()


def hub_of_this_loop() -> Hub:
    loop = asyncio.get_running_loop()

    if loop not in _hubs:
        _hubs[loop] = Hub(layers.current())
        _running.add(_hubs[loop])

    return _hubs[loop]


def hubs() -> tuple[Hub, ...]:
    """Those that have followers."""
    return tuple(_hubs.values())


def running_hubs() -> tuple[Hub, ...]:
    """The hubs of this process that have followers, or a task that is ending."""
    return tuple(_running)
