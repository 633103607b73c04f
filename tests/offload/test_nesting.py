"""Offload reached from a thread of ours: all threads may wait, and none for another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.contrib.auth.models import Group

from django_partstream import offload

#: More than there are threads, so that all of them wait at the same time.
CALLS = 6


@pytest.fixture(autouse=True)
def two_threads(settings: Any) -> Iterator[None]:
    offload.close()
    settings.PARTSTREAM = {"THREADS": 2}
    yield
    offload.close()


def nested(work: Callable[[], Awaitable[Any]]) -> Callable[[], tuple[int, Any]]:
    """A sync part that waits for async work in its thread."""

    async def inner() -> Any:
        return await work()

    def part() -> tuple[int, Any]:
        return threading.get_ident(), async_to_sync(inner)()

    return part


async def at_once(part: Callable[[], Any]) -> list[Any]:
    async with asyncio.timeout(60):
        return await asyncio.gather(*(offload.run_sync(part) for _ in range(CALLS)))


async def test_a_call_is_made_in_the_thread_that_waits_for_it() -> None:
    for outer, inner in await at_once(
        nested(lambda: offload.run_sync(threading.get_ident))
    ):
        assert inner == outer


async def test_the_thread_of_a_request_takes_no_part_in_it() -> None:
    # As Django's handler has it around each request.
    async with ThreadSensitiveContext():
        requests = await sync_to_async(threading.get_ident)()

        for outer, inner in await at_once(
            nested(lambda: offload.run_sync(threading.get_ident))
        ):
            assert inner == outer != requests


async def test_a_task_that_outlives_its_call_is_inside_no_more() -> None:
    loop = asyncio.get_running_loop()
    release = asyncio.Event()
    left: list[asyncio.Task[int]] = []

    async def later() -> int:
        await release.wait()

        return await offload.run_sync(threading.get_ident)

    def call() -> int:
        # In the context of this call, on the loop.
        loop.call_soon_threadsafe(lambda: left.append(loop.create_task(later())))

        return threading.get_ident()

    thread = await offload.run_sync(call)
    release.set()

    # There is one thread, whose turn it is again.
    assert await left[0] == thread


async def test_three_deep() -> None:
    deepest = nested(lambda: offload.run_sync(threading.get_ident))

    for outer, (middle, inner) in await at_once(
        nested(lambda: offload.run_sync(deepest))
    ):
        assert outer == middle == inner


async def test_several_at_once_take_turns_in_the_thread() -> None:
    async def several() -> list[int]:
        return await asyncio.gather(
            *(offload.run_sync(threading.get_ident) for _ in range(5))
        )

    for outer, inner in await at_once(nested(several)):
        assert inner == [outer] * 5


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
async def test_async_methods_of_the_orm() -> None:
    await offload.run_sync(Group.objects.create, name="one")

    async def names() -> list[str]:
        assert await Group.objects.acount() == 1

        return [group.name async for group in Group.objects.all()]

    assert [names for _, names in await at_once(nested(names))] == [["one"]] * CALLS


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
async def test_iteration_and_calls_between_its_items() -> None:
    await offload.run_sync(
        Group.objects.bulk_create, [Group(name=str(number)) for number in range(20)]
    )

    async def names() -> list[str]:
        rows = offload.iterate(
            lambda: Group.objects.order_by("pk").iterator(chunk_size=5)
        )

        return [await offload.run_sync(str, row) async for row in rows]

    expected = [str(number) for number in range(20)]

    assert [names for _, names in await at_once(nested(names))] == [expected] * CALLS


async def test_iterations_of_which_no_more_run_than_may() -> None:
    async with asyncio.timeout(60):
        results = await asyncio.gather(*(_collected() for _ in range(CALLS)))

    assert results == [list(range(100))] * CALLS


async def _collected() -> list[int]:
    return [item async for item in offload.iterate(range, 100)]
