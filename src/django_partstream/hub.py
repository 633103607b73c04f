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
import threading
from typing import TYPE_CHECKING, Any, Protocol

from channels.layers import InMemoryChannelLayer, get_channel_layer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping

__all__ = (
    "Hub",
    "Listening",
    "Mailbox",
    "Receiver",
    "Statistics",
    "deliver_here",
    "ends_here",
    "join",
    "listening",
    "publish",
    "running_hubs",
    "statistics",
)

logger = logging.getLogger(__name__)

#: How long one call of the layer may take.
LAYER_SECONDS = 1.0
#: What Channels takes as a name, less our prefix: ASCII, under 100 characters.
PLAIN_NAME = re.compile(r"[a-zA-Z\d\-_.]{1,80}")


class Receiver(Protocol):
    """Is handed the messages of the groups that it follows, on the event loop."""

    def put(self, message: Mapping[str, Any], /) -> None: ...


class Mailbox:
    """Holds the newest message of a group; a newer one replaces an unread one.

    Thousands may wait in theirs for the same message, so that a wait costs little: one
    timer serves all waits of a mailbox, and is only set anew when it goes off.
    """

    __slots__ = ("_ends_at", "_loop", "_message", "_timer", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._message: Mapping[str, Any] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = 0.0

    def put(self, message: Mapping[str, Any]) -> None:
        self._message = message
        self._wake()

    async def get(self, seconds: float) -> Mapping[str, Any] | None:
        """The newest message, each at most once; None when none came in `seconds`.
        One at a time may wait."""
        if self._message is None:
            self._waiter = self._loop.create_future()
            self._ends_at = self._loop.time() + seconds

            # One that goes off later would be late.
            if self._timer is None or self._timer.when() > self._ends_at:
                self._set_timer()

            try:
                await self._waiter
            finally:
                self._waiter = None

        message, self._message = self._message, None

        return message

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_timer(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._ends_at, self._goes_off)

    def _goes_off(self) -> None:
        self._timer = None

        if self._waiter is None:
            return

        if self._loop.time() >= self._ends_at:
            self._wake()
        else:
            self._set_timer()


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

    __slots__ = ("added", "receivers")

    def __init__(self) -> None:
        self.receivers: set[Receiver] = set()
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
        #: Messages of other threads, to be delivered at the loop's next turn.
        self._soon: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        #: What the layer knows of us, as far as we know.
        self._on_layer: set[str] = set()
        #: Added since the last reason to add everything again.
        self._fresh: set[str] = set()
        self._changed = asyncio.Event()
        self._health = _Health("following groups")
        self._task: asyncio.Task[None] | None = None

    async def enter(self, groups: Iterable[str], receiver: Receiver) -> None:
        """Hand the messages of the groups to `receiver` from now on."""
        entered = [self._groups.setdefault(group, _Group()) for group in groups]

        for followed in entered:
            followed.receivers.add(receiver)

        if self._layer is None or not entered:
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
                    for followed in entered:
                        await followed.added.wait()

    async def leave(self, groups: Iterable[str], receiver: Receiver) -> None:
        for group in groups:
            followed = self._groups[group]
            followed.receivers.discard(receiver)

            if not followed.receivers:
                del self._groups[group]
                self._fresh.discard(group)
                self._changed.set()

        if not self._groups and self._is_current:
            await self._stop()

    def deliver(self, group: str, message: Mapping[str, Any]) -> None:
        followed = self._groups.get(group)

        if followed is not None:
            for receiver in followed.receivers:
                receiver.put(message)

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

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def mailboxes(self) -> int:
        return sum(len(followed.receivers) for followed in self._groups.values())

    @property
    def _is_current(self) -> bool:
        return _hubs.get(self.loop) is self

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
    mailbox = Mailbox()

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
            hub = _hub_of_this_loop()
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


async def publish(group: str, message: Mapping[str, Any]) -> None:
    """Send a small JSON-able message to whoever follows the group, in any process.

    Never raises because of the layer, and takes about a second at worst. A message
    that the layer did not take still reaches the followers in this process.
    """
    message = dict(message)

    try:
        layer = get_channel_layer()

        if not _ends_here(layer):
            envelope = {"type": "partstream", "group": group, "message": message}

            async with asyncio.timeout(LAYER_SECONDS):
                await layer.group_send(_name(group), envelope)

            _publishing.worked()
            return
    except Exception as error:
        _publishing.failed(error)

    deliver_here(group, message)


def deliver_here(group: str, message: Mapping[str, Any]) -> None:
    """Hand the message to the followers in this process, from any thread."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None

    for loop, hub in tuple(_hubs.items()):
        if loop is here:
            hub.deliver(group, message)
        else:
            hub.deliver_soon(group, message)


def ends_here() -> bool:
    """Whether messages reach this process alone, so that `deliver_here` is all that
    publishing can do."""
    try:
        return _ends_here(get_channel_layer())
    except Exception as error:
        _publishing.failed(error)

        return True


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


def _ends_here(layer: Any) -> bool:
    # The in-memory layer is one of this process, and of one thread of it.
    return layer is None or type(layer) is InMemoryChannelLayer


def _name(group: str) -> str:
    """A name that Channels takes, for a group of any name."""
    if PLAIN_NAME.fullmatch(group):
        return f"partstream.{group}"

    digest = hashlib.blake2b(group.encode(), digest_size=20).hexdigest()

    return f"partstream..{digest}"
