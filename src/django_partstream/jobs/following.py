"""A job as a stream of frames."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from django_partstream import frames, hub

from . import progress
from .watching import GONE, watching

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ("Following", "follow")

#: Whoever waits is told; nothing is asked in its place.
A_DAY = 86400.0


def follow(job_id: UUID) -> Following:
    """The frames of a job: `start`, `progress` whenever it moved, `end`.

    The row is read after the group was joined, and again every `POLL_SECONDS`: lost
    messages delay a follower, and never mislead it. `seq` never goes down. Ends when
    the job has, or is gone.
    """
    return Following(job_id)


class Following(AsyncGenerator[frames.Frame]):
    """The frames of one job, for one reader, who may have them pushed."""

    def __init__(self, job_id: UUID) -> None:
        self._snapshots = _Snapshots()
        self._frames = _frames(job_id, self._snapshots)

    def push_to(self, push: frames.Push) -> None:
        self._snapshots.push = push

    async def __anext__(self) -> frames.Frame:
        return await anext(self._frames)

    async def asend(self, value: None) -> frames.Frame:
        return await self._frames.asend(value)

    async def athrow(self, *error: Any) -> frames.Frame:
        return await self._frames.athrow(*error)

    async def aclose(self) -> None:
        await self._frames.aclose()


class _Snapshots(hub.Mailbox):
    """Hands on what comes in while the reader waits, except for the last."""

    __slots__ = ("newest", "push", "seen")

    def __init__(self) -> None:
        super().__init__()
        self.push: frames.Push | None = None
        #: What the reader was shown, and its `seq`.
        self.newest: Mapping[str, Any] = {}
        self.seen = -1

    def is_news(self, snapshot: Mapping[str, Any]) -> bool:
        if snapshot["seq"] <= self.seen:
            return False

        self.seen, self.newest = snapshot["seq"], snapshot

        return True

    def take(self, message: Mapping[str, Any]) -> hub.Taken:
        if (
            message is GONE
            or self.push is None
            or message["state"] in progress.TERMINAL
        ):
            return False

        if not self.is_news(message):
            return True

        return self.push(frames.Progress(snapshot=message)) or True


async def _frames(job_id: UUID, snapshots: _Snapshots) -> AsyncGenerator[frames.Frame]:
    async with hub.join(progress.group_of(job_id), snapshots):
        yield frames.Start(parts=(), cursor=None)

        async with watching(job_id, snapshots):
            while (current := await snapshots.get(A_DAY)) is not GONE:
                if current is not None and snapshots.is_news(current):
                    yield frames.Progress(snapshot=current)

                    if current["state"] in progress.TERMINAL:
                        break

                # It may wait for days.
                del current

        result = snapshots.newest.get("result", {})
        yield frames.End(
            ok=result.get("success_count", 0),
            failed=result.get("error_count", 0),
            cursor=None,
            reason="complete",
        )
