"""The only door to the channel layer: publish to a group, follow a group.

A message is a hint that may be lost, never the truth: whoever follows a group reads
the truth elsewhere, after joining and now and then. Without a channel layer the
groups reach as far as this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = (
    "Hub",
    "Mailbox",
    "Statistics",
    "join",
    "publish",
    "running_hubs",
    "statistics",
)

logger = logging.getLogger(__name__)

#: How long one call of the layer may take.
LAYER_SECONDS = 1.0
#: What Channels takes as a name, less our prefix: ASCII, under 100 characters.
PLAIN_NAME = re.compile(r"[a-zA-Z\d\-_.]{1,80}")


class Mailbox:
    """Holds the newest message of a group; a newer one replaces an unread one."""

    __slots__ = ("_arrived", "_message")

    def __init__(self) -> None:
        self._arrived = asyncio.Event()
        self._message: Mapping[str, Any] | None = None

    def put(self, message: Mapping[str, Any]) -> None:
        self._message = message
        self._arrived.set()

    async def get(self, seconds: float) -> Mapping[str, Any] | None:
        """The newest message, each at most once; None when none came in `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return None

        self._arrived.clear()
        message, self._message = self._message, None

        return message


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What the hubs of this process hold."""

    groups: int
    mailboxes: int
    #: Messages that the layer did not take, since the process began.
    unpublished: int


class _Health:
    """Says once that the layer fails, and once that it works again."""

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


class _Group:
    """The followers that this process has of one group."""

    __slots__ = ("added", "mailboxes")

    def __init__(self) -> None:
        self.mailboxes: set[Mailbox] = set()
        #: Set once the layer knows of us.
        self.added = asyncio.Event()


class Hub:
    """The groups of one event loop, and the one task that speaks for them.

    However many follow a group, the layer knows of one member; its messages are
    handed out here. The task begins with the first follower and ends with the last.
    It alone calls the layer, so that nobody waits in line: it brings what the layer
    knows in step with what is wanted, whenever that changes, after every failure and
    every `rejoin_seconds`, since a layer may lose its memory and not say so.
    """

    rejoin_seconds = 60.0
    #: The pause after a failure; doubled for each that follows, up to the last.
    retry_seconds = (0.25, 8.0)

    def __init__(self, layer: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self._layer = layer
        self._channel = ""
        self._groups: dict[str, _Group] = {}
        #: What the layer knows of us, as far as we know.
        self._on_layer: set[str] = set()
        #: Added since the last reason to add everything again.
        self._fresh: set[str] = set()
        self._changed = asyncio.Event()
        self._health = _Health("following groups")
        self._task: asyncio.Task[None] | None = None

    async def enter(self, group: str, mailbox: Mailbox) -> None:
        """Hand the group's messages to `mailbox` from now on."""
        followed = self._groups.setdefault(group, _Group())
        followed.mailboxes.add(mailbox)

        if self._layer is None:
            return

        if self._task is None:
            self._task = self.loop.create_task(self._run())
            self._task.add_done_callback(self._ended)

        self._changed.set()

        # A follower reads the truth next, and a message sent after that must not
        # pass it by. A layer that does not answer holds nobody up for long.
        if not self._health.failing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAYER_SECONDS):
                    await followed.added.wait()

    async def leave(self, group: str, mailbox: Mailbox) -> None:
        followed = self._groups[group]
        followed.mailboxes.discard(mailbox)

        if followed.mailboxes:
            return

        del self._groups[group]
        self._fresh.discard(group)
        self._changed.set()

        if not self._groups:
            await self._stop()

    def deliver(self, group: str, message: Mapping[str, Any]) -> None:
        followed = self._groups.get(group)

        if followed is not None:
            for mailbox in followed.mailboxes:
                mailbox.put(message)

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def mailboxes(self) -> int:
        return sum(len(followed.mailboxes) for followed in self._groups.values())

    async def _stop(self) -> None:
        # Whoever joins from here on gets a hub, and a channel, of their own.
        del _hubs[self.loop]

        if self._task is None:
            _running.discard(self)
            return

        self._task.cancel()
        await asyncio.wait([self._task], timeout=2 * LAYER_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        _running.discard(self)

        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the hub ended with an error", exc_info=error)

    async def _run(self) -> None:
        try:
            self._channel = await self._open_channel()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive())
                tasks.create_task(self._keep_in_step())
        finally:
            # channels_redis keeps the buffer of a receive() that was cancelled.
            getattr(self._layer, "receive_buffer", {}).pop(self._channel, None)
            await self._leave_layer()

    async def _open_channel(self) -> str:
        failures = 0

        while True:
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    channel: str = await self._layer.new_channel()
            except Exception as error:
                self._health.failed(error)
                failures += 1
                await self._pause(failures)
            else:
                return channel

    async def _receive(self) -> None:
        failures = 0

        while True:
            try:
                message = await self._layer.receive(self._channel)
            except Exception as error:
                # The layer may have lost our memberships together with its mind.
                self._health.failed(error)
                self._fresh.clear()
                self._changed.set()
                failures += 1
                await self._pause(failures)
            else:
                failures = 0
                self.deliver(message.get("group", ""), message.get("message", {}))

    async def _keep_in_step(self) -> None:
        failures = 0

        while True:
            try:
                await self._step()
            except Exception as error:
                self._health.failed(error)
                failures += 1
                await self._pause(failures)
                continue

            failures = 0
            self._health.worked()

            try:
                async with asyncio.timeout(self.rejoin_seconds):
                    await self._changed.wait()
            except TimeoutError:
                self._fresh.clear()

    async def _step(self) -> None:
        self._changed.clear()

        for group in self._on_layer - self._groups.keys():
            async with asyncio.timeout(LAYER_SECONDS):
                await self._layer.group_discard(_name(group), self._channel)

            self._on_layer.discard(group)

        for group in self._groups.keys() - self._fresh:
            async with asyncio.timeout(LAYER_SECONDS):
                await self._layer.group_add(_name(group), self._channel)

            self._on_layer.add(group)

            # It may have been left in the meantime; then the next step takes it out.
            if (followed := self._groups.get(group)) is not None:
                self._fresh.add(group)
                followed.added.set()

    async def _leave_layer(self) -> None:
        if self._health.failing:
            return

        try:
            async with asyncio.timeout(LAYER_SECONDS):
                for group in tuple(self._on_layer):
                    await self._layer.group_discard(_name(group), self._channel)
        except Exception as error:
            # The layer forgets a member that does not come back by itself.
            self._health.failed(error)

    async def _pause(self, failures: int) -> None:
        first, last = self.retry_seconds
        await asyncio.sleep(min(first * 2 ** (failures - 1), last))


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
_running: set[Hub] = set()
_publishing = _Health("publishing")


@contextlib.asynccontextmanager
async def join(group: str) -> AsyncIterator[Mailbox]:
    """Follow a group, which may have any name, while this scope is open.

    What is published after the scope was entered arrives, unless it is lost: the
    layer may drop messages, and one that does not answer within a second is not
    waited for.
    """
    hub = _hub_of_this_loop()
    mailbox = Mailbox()

    try:
        await hub.enter(group, mailbox)
        yield mailbox
    finally:
        await hub.leave(group, mailbox)


async def publish(group: str, message: Mapping[str, Any]) -> None:
    """Send a small JSON-able message to whoever follows the group, in any process.

    Never raises because of the layer, and takes about a second at worst. A message
    that the layer did not take still reaches the followers in this process.
    """
    message = dict(message)

    try:
        layer = get_channel_layer()

        if layer is not None:
            envelope = {"type": "partstream", "group": group, "message": message}

            async with asyncio.timeout(LAYER_SECONDS):
                await layer.group_send(_name(group), envelope)

            _publishing.worked()
            return
    except Exception as error:
        _publishing.failed(error)

    _deliver_here(group, message)


def statistics() -> Statistics:
    """What is followed in this process, and what could not be published."""
    hubs = running_hubs()

    return Statistics(
        groups=sum(hub.groups for hub in hubs),
        mailboxes=sum(hub.mailboxes for hub in hubs),
        unpublished=_publishing.failures,
    )


def running_hubs() -> tuple[Hub, ...]:
    """The hubs of this process that have followers, or a task that is ending."""
    return tuple(_running)


def _hub_of_this_loop() -> Hub:
    loop = asyncio.get_running_loop()

    if loop not in _hubs:
        _hubs[loop] = Hub(get_channel_layer())
        _running.add(_hubs[loop])

    return _hubs[loop]


def _deliver_here(group: str, message: Mapping[str, Any]) -> None:
    here = asyncio.get_running_loop()

    for loop, hub in tuple(_hubs.items()):
        if loop is here:
            hub.deliver(group, message)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(hub.deliver, group, message)


def _name(group: str) -> str:
    """A name that Channels takes, for a group of any name."""
    if PLAIN_NAME.fullmatch(group):
        return f"partstream.{group}"

    digest = hashlib.blake2b(group.encode(), digest_size=20).hexdigest()

    return f"partstream..{digest}"
