"""A time limit that one timer serves, held against `asyncio.timeout`."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from django_partstream.patience import Patience


async def test_what_ends_in_time_is_not_disturbed():
    patience = Patience()

    for number in range(3):
        with patience.limit(10):
            assert await asyncio.sleep(0, number) == number

    patience.close()


async def test_what_takes_longer_is_a_timeout_and_leaves_the_task_uncancelled():
    patience = Patience()

    with pytest.raises(TimeoutError), patience.limit(0.01):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert await asyncio.sleep(0, "goes on") == "goes on"


async def test_later_waits_have_their_own_time():
    loop = asyncio.get_running_loop()
    patience = Patience()

    # Leaves a timer that fires in the midst of the second.
    with patience.limit(0.02):
        pass

    began = loop.time()

    with pytest.raises(TimeoutError), patience.limit(0.08):
        await asyncio.Event().wait()

    assert loop.time() - began >= 0.08


async def test_shorter_wait_after_a_longer_one_does_not_take_as_long():
    patience = Patience()

    with patience.limit(60):
        pass

    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError), patience.limit(0.01):
            await asyncio.Event().wait()


async def test_cancel_from_outside_stays_a_cancel():
    patience = Patience()
    waiting = asyncio.Event()

    async def wait():
        with patience.limit(60):
            waiting.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    patience.close()


async def test_cancel_in_the_same_moment_as_the_limit_is_not_lost():
    patience = Patience()

    async def wait():
        with patience.limit(0.01):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    await asyncio.sleep(0)
    # The timer and the cancel are due before the task is asked again.
    ends_at = asyncio.get_running_loop().time() + 0.02

    while asyncio.get_running_loop().time() < ends_at:
        pass

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_scope_that_swallows_the_cancel_leaves_the_task_uncancelled():
    patience = Patience()

    with patience.limit(0.01), contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_many_waits_make_few_timers(monkeypatch):
    loop = asyncio.get_running_loop()
    made = []
    call_at = loop.call_at

    def counted(when, callback, *args, **kwargs):
        made.append(callback)
        return call_at(when, callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", counted)
    patience = Patience()

    for _ in range(1000):
        with patience.limit(60):
            await asyncio.sleep(0)

    patience.close()

    assert len(made) == 1


async def test_close_does_not_take_the_limit_from_who_waits():
    patience = Patience()
    asyncio.get_running_loop().call_soon(patience.close)

    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError), patience.limit(0.02):
            await asyncio.Event().wait()
