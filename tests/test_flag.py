"""An event that one task waits for."""

from __future__ import annotations

import asyncio

import pytest

from django_partstream.flag import Flag


async def test_who_waits_goes_on_when_it_is_set():
    flag = Flag()
    task = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    assert not task.done()
    flag.set()
    flag.set()
    # It was set, whatever it is now.
    flag.clear()
    await asyncio.wait_for(task, 5)

    assert not flag.is_set()


async def test_flag_that_is_set_is_not_waited_for():
    flag = Flag()
    flag.set()
    await flag.wait()

    assert flag.is_set()


async def test_who_gave_up_leaves_it_to_the_next():
    flag = Flag()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flag.wait(), 0.01)

    task = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)
    flag.set()
    await asyncio.wait_for(task, 5)


async def test_second_who_waits_is_refused():
    flag = Flag()
    task = asyncio.create_task(flag.wait())
    await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match=r"^Somebody else waits for this flag\.$"):
        await flag.wait()

    flag.set()
    await task
