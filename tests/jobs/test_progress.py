"""What followers of a job see."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from django_partstream import frames, hub, offload
from django_partstream.jobs import following, progress, states
from django_partstream.models import Job
from tests.jobs.conftest import Run
from tests.jobs.work import make_job

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_snapshot_has_every_member(run: Run) -> None:
    owner = get_user_model().objects.create_user("ann")
    job = make_job(14, owner=owner)
    run(job)
    job = states.jobs().get(pk=job.pk)

    shown = progress.snapshot(job)

    assert shown["task_id"] == str(job.pk)
    assert (shown["state"], shown["status"]) == ("SUCCESS", "completed")
    assert shown["message"] == "The job is complete."
    assert shown["is_async"] is True
    assert shown["seq"] == job.seq
    assert shown["progress"].pop("rows_per_second") > 0
    assert shown["progress"] == {
        "current": 14,
        "total": 14,
        "percentage": 100.0,
        "eta_seconds": None,
        "message": "The job is complete.",
    }
    result = shown["result"]
    assert (result["total_items"], result["success_count"], result["error_count"]) == (
        14,
        12,
        2,
    )
    assert len(result["created_ids"]) == result["created_count"] == 12
    assert result["created_ids_truncated"] is False
    assert [error["row"] for error in result["errors"]] == [7, 14]


def test_what_is_shown_inline_is_bounded_and_says_so(run: Run) -> None:
    job = make_job(500)
    run(job)

    result = progress.snapshot(states.jobs().get(pk=job.pk))["result"]

    assert len(result["created_ids"]) == progress.INLINE_IDS
    assert result["created_ids_truncated"] is True
    assert len(result["errors"]) == progress.INLINE_ERRORS
    assert result["errors_truncated"] is True
    assert result["error_count"] == 71


async def collect(job: Job) -> list[frames.Frame]:
    async with contextlib.aclosing(following.follow(job.pk)) as stream:
        return [frame async for frame in stream]


async def test_a_finished_job_is_shown_once(run: Run) -> None:
    job = await sync_to_async(make_job)(5)
    await sync_to_async(run)(job)

    start, shown, end = await collect(job)

    assert start == frames.Start(parts=(), cursor=None)
    assert isinstance(shown, frames.Progress)
    assert shown.snapshot["state"] == "SUCCESS"
    assert end == frames.End(ok=5, failed=0, cursor=None, reason="complete")


async def test_a_job_that_is_gone_ends_the_stream() -> None:
    job = await sync_to_async(make_job)(5)
    await Job.objects.all().adelete()

    assert [type(frame) for frame in await collect(job)] == [frames.Start, frames.End]


async def test_a_follower_sees_every_snapshot_rise_to_the_end(run: Run) -> None:
    job = await sync_to_async(make_job)(300)

    async with (
        asyncio.TaskGroup() as group,
        progress.Publisher().running() as publisher,
    ):
        following = group.create_task(collect(job))
        pool = offload.Pool(1, name="test-job")
        await pool.run(run, job, on_change=publisher.offer)
        seen = await following
        pool.close()

    snapshots = [frame.snapshot for frame in seen if isinstance(frame, frames.Progress)]
    numbers = [shown["seq"] for shown in snapshots]
    assert numbers == sorted(set(numbers))
    assert snapshots[-1]["state"] == "SUCCESS"
    assert isinstance(seen[-1], frames.End)


async def test_with_every_message_lost_the_end_is_seen_by_polling(
    run: Run, settings: Any
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 0.05}
    job = await sync_to_async(make_job)(30)
    following = asyncio.create_task(collect(job))

    await sync_to_async(run)(job)

    assert isinstance((await following)[-1], frames.End)


async def test_a_message_that_is_late_or_doubled_is_not_shown(run: Run) -> None:
    job = await sync_to_async(make_job)(30)
    stream = following.follow(job.pk)

    async with contextlib.aclosing(stream):
        await anext(stream)
        first = await anext(stream)
        assert isinstance(first, frames.Progress)
        await sync_to_async(run)(job)
        await hub.publish(progress.group_of(job.pk), first.snapshot)
        last = progress.snapshot(await sync_to_async(states.jobs().get)(pk=job.pk))
        await hub.publish(progress.group_of(job.pk), last)

        second = await anext(stream)

    assert isinstance(second, frames.Progress)
    assert second.snapshot["seq"] == last["seq"] > first.snapshot["seq"]
