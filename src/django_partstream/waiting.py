"""Answers that a job was accepted for: at once, or when it has ended in the time that
the client would wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from rest_framework.response import Response

from . import conf, offload
from .jobs import following, progress
from .models import State
from .streamable import is_asgi

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rest_framework.request import Request

    from .models import Job
    from .preferences import Preferences

__all__ = ("RETRY_AFTER", "accepted", "changed", "patience_of")

#: Seconds that a client should wait before it asks for a job's status.
RETRY_AFTER = 1

#: How often a request without an event loop looks.
LOOK_SECONDS = 0.1


def accepted(
    request: Request,
    job: Job,
    *,
    addresses: Mapping[str, str],
    preferences: Preferences,
) -> Response:
    """202 as PROTOCOL section 7 has it; where the client would wait and the job ends
    in that time, 200 with the status.

    It waits while it is rendered: then the request's transaction is committed.
    """
    noun = job.kind.removeprefix("async_").capitalize()
    body = {
        "message": f"{noun} task started for {job.total} items",
        "task_id": str(job.pk),
        "total_items": job.total,
        "is_async": True,
        **addresses,
    }
    response = Response(body, status=202)
    applied = ["respond-async"] if preferences.respond_async else []

    if seconds := patience_of(preferences):
        kind = _AsyncWaiting if is_asgi(request) else _Waiting
        response = kind(body, job_id=job.pk, seconds=seconds, addresses=addresses)
        applied.append(f"wait={preferences.wait}")

    response["Location"] = addresses["status_url"]
    response["Retry-After"] = str(RETRY_AFTER)

    if applied:
        response["Preference-Applied"] = ", ".join(applied)

    return response


def patience_of(preferences: Preferences) -> float:
    """For how many seconds the client would wait, and may."""
    return min(preferences.wait or 0, conf.current().max_wait_seconds)


class _Waiting(Response):
    """Under WSGI: the request's worker waits."""

    def __init__(
        self,
        body: Any,
        *,
        job_id: UUID,
        seconds: float,
        addresses: Mapping[str, str],
    ) -> None:
        super().__init__(body, status=202)
        self.job_id = job_id
        self.seconds = seconds
        self.addresses = addresses

    def render(self) -> Response:
        ends_at = time.monotonic() + self.seconds

        while (job := _ended(self.job_id)) is None and time.monotonic() < ends_at:
            time.sleep(LOOK_SECONDS)

        self._show(job)
        super().render()

        return self

    def _show(self, job: Job | None) -> None:
        if job is None:
            return

        self.data = {**progress.snapshot(job), **self.addresses}
        self.status_code = 200
        self["Content-Location"] = self["Location"]
        del self["Location"]
        del self["Retry-After"]


class _AsyncWaiting(_Waiting):
    """Under ASGI: nothing is held while it waits."""

    async def render(self) -> Response:  # type: ignore[override]
        await _heard(self.job_id, self.seconds)
        self._show(await offload.run_sync(_ended, self.job_id))
        # A renderer may use the database.
        await sync_to_async(Response.render)(self)

        return self


def _ended(job_id: UUID) -> Job | None:
    job = progress.load(job_id)

    return job if job is not None and State(job.state).terminal else None


async def changed(request: Request, job: Job, *, seconds: float) -> None:
    """Wait until the job has moved on, has ended or is gone; at most so long."""
    if is_asgi(request):
        await _heard(job.pk, seconds, known=progress.seq_of(job))
    else:
        await _seen(job, seconds)


async def _heard(job_id: UUID, seconds: float, *, known: int | None = None) -> None:
    """Until the job has ended or is gone; or is not as `known` any more."""
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(seconds),
            contextlib.aclosing(following.follow(job_id)) as frames,
        ):
            async for frame in frames:
                snapshot = getattr(frame, "snapshot", None)

                if known is not None and snapshot and snapshot["seq"] != known:
                    return


async def _seen(job: Job, seconds: float) -> None:
    """Without a loop that lives on, one looks."""
    ends_at = time.monotonic() + seconds

    while time.monotonic() < ends_at:
        await asyncio.sleep(LOOK_SECONDS)
        now = await sync_to_async(progress.load)(job.pk)

        if now is None or progress.seq_of(now) != progress.seq_of(job):
            return
