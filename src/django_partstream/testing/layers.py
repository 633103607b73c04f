"""A channel layer that loses, doubles and reorders, as real ones may."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from channels.layers import BaseChannelLayer, InMemoryChannelLayer
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("LossyChannelLayer",)


class LossyChannelLayer(BaseChannelLayer):  # type: ignore[misc]
    """Hands messages on to another layer, but for those that it does not.

        CHANNEL_LAYERS = {
            "default": {
                "BACKEND": "django_partstream.testing.LossyChannelLayer",
                "CONFIG": {"drop": 0.3, "double": 0.3, "reorder": 0.3, "seed": 1},
            }
        }

    Of the messages that are sent, the share `drop` is lost, `double` comes twice, and
    `reorder` comes after the next one; the same ones whenever the `seed` is the same.
    `layer` has the BACKEND and CONFIG of the layer beneath, by default the in-memory
    one; what is left in CONFIG is for that one. `counts` tells what was done.
    """

    extensions = ("groups", "flush")

    def __init__(
        self,
        *,
        drop: float = 0.0,
        double: float = 0.0,
        reorder: float = 0.0,
        seed: int = 0,
        layer: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> None:
        super().__init__()

        if not (min(drop, double, reorder) >= 0 and drop + double + reorder <= 1):
            raise ValueError(
                f"drop={drop}, double={double}, reorder={reorder}: expected shares of "
                "all messages, together no more than 1."
            )

        self._chances = (drop, double, reorder)
        self._random = random.Random(seed)
        self._held: dict[tuple[str, str], Any] = {}
        self.counts = {"sent": 0, "dropped": 0, "doubled": 0, "reordered": 0}
        self._layer: Any = (
            InMemoryChannelLayer(**config)
            if layer is None
            else import_string(layer["BACKEND"])(**layer.get("CONFIG", {}), **config)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        for sent in self._what_becomes_of("send", channel, message):
            await self._layer.send(channel, sent)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        for sent in self._what_becomes_of("group_send", group, message):
            await self._layer.group_send(group, sent)

    async def receive(self, channel: str) -> Any:
        return await self._layer.receive(channel)

    async def new_channel(self, prefix: str = "specific.") -> str:
        name: str = await self._layer.new_channel(prefix)

        return name

    async def group_add(self, group: str, channel: str) -> None:
        await self._layer.group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        await self._layer.group_discard(group, channel)

    async def flush(self) -> None:
        self._held.clear()
        await self._layer.flush()

    def _what_becomes_of(
        self, method: str, name: str, message: dict[str, Any]
    ) -> list[dict[str, Any]]:
        self.counts["sent"] += 1
        drop, double, reorder = self._chances
        chance = self._random.random()
        late = self._held.pop((method, name), None)

        if chance < drop:
            self.counts["dropped"] += 1
            sent = []
        elif chance < drop + double:
            self.counts["doubled"] += 1
            sent = [message, dict(message)]
        elif chance < drop + double + reorder and late is None:
            self.counts["reordered"] += 1
            self._held[method, name] = message
            sent = []
        else:
            sent = [message]

        return sent if late is None else [*sent, late]
