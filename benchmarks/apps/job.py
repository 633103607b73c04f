"""The job that everybody follows: it moves on when it is told to."""

from __future__ import annotations

from typing import Any

from benchmarks.projects import JOB
from django_partstream import hub, offload
from django_partstream.jobs import progress

__all__ = ("publish_next",)

_snapshot: dict[str, Any] = {}


async def publish_next() -> None:
    """What a worker does with a snapshot, without the throttle."""
    if not _snapshot:
        job = await offload.run_sync(progress.load, JOB)  # type: ignore[arg-type]
        assert job is not None  # projects have made it
        _snapshot.update(progress.snapshot(job))

    _snapshot["seq"] += 1
    await hub.publish(f"partstream.job.{JOB.replace('-', '')}", _snapshot)
