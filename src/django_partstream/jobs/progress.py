"""How far a job is: snapshots, and who publishes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from django_partstream import hub
from django_partstream.models import State

from . import states

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping
    from uuid import UUID

    from django_partstream.models import Job

__all__ = (
    "TERMINAL",
    "Publisher",
    "group_of",
    "load",
    "percentage",
    "seq_of",
    "snapshot",
)

logger = logging.getLogger(__name__)

#: At most four snapshots of one job a second.
PUBLISH_SECONDS = 0.25

#: Ids and errors that a snapshot shows; `…_truncated` says when there are more.
INLINE_IDS = 100
INLINE_ERRORS = 50

TERMINAL = frozenset(state.value for state in State if state.terminal)

MESSAGES = {
    State.PENDING: "The job is waiting for a worker.",
    State.PROGRESS: "The job is running.",
    State.SUCCESS: "The job is complete.",
    State.FAILURE: "The job failed.",
    State.CANCELLING: "The job is being cancelled.",
    State.CANCELLED: "The job was cancelled.",
}


def group_of(job_id: UUID) -> str:
    """The name of the job's Channels group."""
    return f"partstream.job.{job_id.hex}"


def load(job_id: UUID) -> Job | None:
    """The job as it stands, without its large columns; None when it is gone."""
    return next(iter(load_all([job_id])), None)


def load_all(job_ids: Collection[UUID]) -> list[Job]:
    """Those of the jobs that there are."""
    query = states.with_cancels(states.jobs().filter(pk__in=job_ids))

    return list(query.defer("spec", "cursor"))


def snapshot(job: Job) -> dict[str, Any]:
    """The complete state of a job, as PROTOCOL section 7 shows it."""
    asked = getattr(job, "is_cancelling", False)
    state = State.CANCELLING if asked else State(job.state)
    message = job.message or MESSAGES[state]
    sample = job.sample

    return {
        "task_id": str(job.pk),
        "state": state.value,
        "status": str(STATUS[state]),
        "is_async": True,
        "message": message,
        **({"code": job.code} if job.code else {}),
        "progress": {
            "current": job.current,
            "total": job.total,
            "percentage": percentage(job),
            "rows_per_second": None if job.rate is None else round(job.rate, 1),
            "eta_seconds": _eta(job, state),
            "message": message,
        },
        "result": {
            "task_id": str(job.pk),
            "operation_type": job.kind,
            "total_items": job.total,
            "success_count": job.created + job.updated + job.unchanged + job.deleted,
            "error_count": job.failed,
            "created_count": job.created,
            "updated_count": job.updated,
            "unchanged_count": job.unchanged,
            "deleted_count": job.deleted,
            "created_ids": sample.get("created_ids", []),
            "created_ids_truncated": job.created > INLINE_IDS,
            "updated_ids": sample.get("updated_ids", []),
            "updated_ids_truncated": job.updated > INLINE_IDS,
            "deleted_ids": sample.get("deleted_ids", []),
            "deleted_ids_truncated": job.deleted > INLINE_IDS,
            "errors": sample.get("errors", []),
            "errors_truncated": job.failed > INLINE_ERRORS,
        },
        "seq": seq_of(job),
    }


def seq_of(job: Job) -> int:
    """The `seq` of its state as it is shown: no two states of a job have the same."""
    return job.seq + getattr(job, "is_cancelling", False)


#: The words of PROTOCOL section 7, which are not translated.
STATUS = {
    State.PENDING: "pending",
    State.PROGRESS: "running",
    State.SUCCESS: "completed",
    State.FAILURE: "failed",
    State.CANCELLING: "cancelling",
    State.CANCELLED: "cancelled",
}


def percentage(job: Job) -> float:
    """How much of its input is done, with one digit."""
    if not job.total:
        return 100.0 if job.state == State.SUCCESS else 0.0

    return round(100 * job.current / job.total, 1)


def _eta(job: Job, state: State) -> float | None:
    if state is not State.PROGRESS or not job.rate:
        return None

    return round(max(0, job.total - job.current) / job.rate, 1)


class Publisher:
    """Tells followers of jobs in this process's hands, never more often than they need.

    `offer` may be called from any thread; the newest snapshot of a job replaces one
    that was not sent yet. Publishing never fails or slows a job.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._wake = asyncio.Event()

    def offer(self, job: Job) -> None:
        group, message = group_of(job.pk), snapshot(job)

        # RuntimeError: the loop is closed, so nobody in this process follows.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put, group, message)

    def _put(self, group: str, message: Mapping[str, Any]) -> None:
        self._waiting[group] = message
        self._wake.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Publisher]:
        """Publish while this scope is open; what was offered last is sent first."""
        task = asyncio.create_task(self._run())

        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._flush()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await self._flush()
            await asyncio.sleep(PUBLISH_SECONDS)

    async def _flush(self) -> None:
        self._wake.clear()
        waiting, self._waiting = self._waiting, {}

        # Together: a layer that hangs takes a second for each.
        async with asyncio.TaskGroup() as tasks:
            for group, message in waiting.items():
                tasks.create_task(hub.publish(group, message))
