"""A job as a stream of frames."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from django_partstream import frames, hub
from django_partstream.problems import Problem

from . import progress
from .watching import GONE, REFUSED, watching

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ("NOT_THERE", "Following", "follow")

#: What a job is for those who may not see it.
NOT_THERE = "There is no job with this id."


def follow(job_id: UUID, *, viewer: Any = None) -> Following:
    """The frames of a job: `start`, `progress` whenever it moved, `end`.

    The row is read after the group was joined, and again every `POLL_SECONDS`: lost
    messages delay a follower, and never mislead it. `seq` never goes down. Ends when
    the job has, or is gone; and with `refused` when the user whose key is `viewer` has
    lost the right to see it, which is asked as often as the row is read.
    """
    return Following(job_id, viewer)


class Following(AsyncGenerator[frames.Frame]):
    """The frames of one job, for one reader, who may have them pushed."""

    def __init__(self, job_id: UUID, viewer: Any) -> None:
        self._snapshots = _Snapshots(viewer)
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

    __slots__ = ("newest", "push", "seen", "viewer")

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
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
        frame = _in_between.frame(message)

        if frame is None or self.push is None:
            return False

        if not self.is_news(message):
            return True

        return self.push(frame) or True


class _InBetween:
    """The frame of the snapshot that came last in this process: thousands may be
    handed the same one. For any thread."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: tuple[object, frames.Progress | None] = (None, None)

    def frame(self, message: Mapping[str, Any]) -> frames.Progress | None:
        """None of a message after which something else comes."""
        kept, frame = self._kept

        if kept is not message:
            is_last = (
                message is GONE
                or message is REFUSED
                or message["state"] in progress.TERMINAL
            )
            frame = None if is_last else frames.Progress(snapshot=message)
            self._kept = message, frame

        return frame


_in_between = _InBetween()


async def _frames(job_id: UUID, snapshots: _Snapshots) -> AsyncGenerator[frames.Frame]:
    async with hub.join(progress.group_of(job_id), snapshots):
        yield frames.Start(parts=(), cursor=None)

        async with watching(job_id, snapshots):
            while (current := await snapshots.get()) is not GONE:
                if current is REFUSED:
                    yield _refused(snapshots.newest)
                    return

                if current is not None and snapshots.is_news(current):
                    yield frames.Progress(snapshot=current)

                    if current["state"] in progress.TERMINAL:
                        break

                # It may wait for days.
                del current

        yield _end(snapshots.newest)


def _end(newest: Mapping[str, Any]) -> frames.End:
    result = newest.get("result", {})

    return frames.End(
        ok=result.get("success_count", 0),
        failed=result.get("error_count", 0),
        cursor=None,
        reason="complete",
    )


def _refused(newest: Mapping[str, Any]) -> frames.End:
    problem = Problem(status=404, code="not_found", detail=NOT_THERE)

    return dataclasses.replace(_end(newest), reason="refused", error=problem)
