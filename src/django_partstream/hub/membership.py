"""What the channel layer knows of this process, kept in step with what is followed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

from .layer import LAYER_SECONDS, Health, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ("Followed", "Membership")

logger = logging.getLogger(__name__)


class Followed(Protocol):
    """What the layer is to send, and where it goes."""

    def groups(self) -> Collection[str]: ...

    def is_joined(self, group: str, /) -> None:
        """The layer knows of us, as a member of this group."""

    def deliver(self, group: str, message: Mapping[str, Any], /) -> None: ...


class Membership:
    """The one task that speaks with the layer for an event loop.

    It alone calls the layer, so that nobody waits in line: it brings what the layer
    knows in step with what is wanted, whenever that changes, after every failure and
    every `rejoin_seconds`, since a layer may lose its memory and not say so.
    """

    rejoin_seconds = 60.0
    #: The pause after a failure; doubled for each that follows, up to the last.
    retry_seconds = (0.25, 8.0)

    def __init__(self, layer: Any, followed: Followed) -> None:
        self._layer = layer
        self._followed = followed
        self._channel = ""
        #: What the layer knows of us, as far as we know.
        self._on_layer: set[str] = set()
        #: Added since the last reason to add everything again.
        self._fresh: set[str] = set()
        self._changed = asyncio.Event()
        self._health = Health("following groups")
        self._task: asyncio.Task[None] | None = None

    @property
    def failing(self) -> bool:
        return self._health.failing

    def changed(self) -> None:
        """Something is followed, or no longer."""
        self._changed.set()

    def forget(self, group: str) -> None:
        """Nobody follows this group any more."""
        self._fresh.discard(group)
        self._changed.set()

    def start(self, ended: Callable[[], None]) -> None:
        """Begin; `ended` is called when it is over."""
        if self._task is not None:
            return

        def done(task: asyncio.Task[None]) -> None:
            ended()

            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("the hub ended with an error", exc_info=error)

        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(done)

    @property
    def is_started(self) -> bool:
        return self._task is not None

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2 * LAYER_SECONDS)

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
                group, content = message.get("group", ""), message.get("message", {})
                self._followed.deliver(group, content)

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

        for group in self._on_layer.difference(self._followed.groups()):
            async with asyncio.timeout(LAYER_SECONDS):
                await self._layer.group_discard(name_of(group), self._channel)

            self._on_layer.discard(group)

        for group in set(self._followed.groups()) - self._fresh:
            async with asyncio.timeout(LAYER_SECONDS):
                await self._layer.group_add(name_of(group), self._channel)

            self._on_layer.add(group)

            # It may have been left in the meantime; then the next step takes it out.
            if group in self._followed.groups():
                self._fresh.add(group)
                self._followed.is_joined(group)

    async def _leave_layer(self) -> None:
        if self._health.failing:
            return

        try:
            async with asyncio.timeout(LAYER_SECONDS):
                for group in tuple(self._on_layer):
                    await self._layer.group_discard(name_of(group), self._channel)
        except Exception as error:
            # The layer forgets a member that does not come back by itself.
            self._health.failed(error)

    async def _pause(self, failures: int) -> None:
        first, last = self.retry_seconds
        await asyncio.sleep(min(first * 2 ** (failures - 1), last))
