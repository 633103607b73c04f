"""A stream of parts without a server: what `stream` yields, read as a client would."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from django_partstream import encoding, frames
from django_partstream.parts.plan import make_plan
from django_partstream.parts.runner import Scope, stream

__all__ = ("all_frames", "frames_of", "opened", "wired")


def sign(names: Iterable[str]) -> str | None:
    """A cursor that tests can read."""
    return ",".join(names) or None


def frames_of(
    *pairs: tuple[str, Any], deadline: float = 30.0, **scope: Any
) -> AsyncGenerator[frames.Frame]:
    """The stream of these parts."""
    plan = make_plan(list(pairs), max_parts=1000)
    scope = {"request": None, "max_running": 32, **scope}

    return stream(plan.parts, Scope(**scope), sign=sign, deadline=deadline)


def wired(frame: frames.Frame) -> dict[str, Any]:
    """The frame as it arrives."""
    found: dict[str, Any] = json.loads(encoding.encode_frame(frame))

    return found


@contextlib.asynccontextmanager
async def opened(*pairs: Any, **options: Any) -> AsyncIterator[Any]:
    """The frames of a stream as they arrive, closed at the end of the scope."""
    async with contextlib.aclosing(frames_of(*pairs, **options)) as producer:
        yield (wired(frame) async for frame in producer)


async def all_frames(*pairs: Any, **options: Any) -> list[dict[str, Any]]:
    """Every frame of a stream."""
    return [wired(frame) async for frame in frames_of(*pairs, **options)]
