"""A channel layer that drops, doubles and reorders what it is given, by a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from django.utils.module_loading import import_string

__all__ = ("LossyChannelLayer",)


class LossyChannelLayer:
    """Around another layer: of four messages to a group one arrives as it is, one
    twice, and two never, or after a later one.

    `CHANNEL_LAYERS = {"default": {"BACKEND": "tests.lossy_layer.LossyChannelLayer",
    "CONFIG": {"backend": …, "config": {…}, "seed": 1}}}`
    """

    def __init__(self, *, backend: str, config: Mapping[str, Any], seed: int) -> None:
        self.inner: Any = import_string(backend)(**config)
        self._random = random.Random(seed)
        #: Held back until a later one has gone.
        self._late: list[tuple[str, Any]] = []
        self.counts = {"sent": 0, "dropped": 0, "doubled": 0, "late": 0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def group_send(self, group: str, message: Any) -> None:
        self.counts["sent"] += 1
        late, self._late = self._late, []

        match self._random.choice(
            ["as it is", "doubled", "dropped", "dropped or late"]
        ):
            case "as it is":
                await self.inner.group_send(group, message)
            case "doubled":
                self.counts["doubled"] += 1
                await self.inner.group_send(group, message)
                await self.inner.group_send(group, message)
            case "dropped or late" if self._random.random() < 0.5:
                self.counts["late"] += 1
                self._late.append((group, message))
            case _:
                self.counts["dropped"] += 1

        for other, old in late:
            await self.inner.group_send(other, old)
