"""Awaitables that are begun where they are made, in the name of a task that waits."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars

import pytest

from django_partstream.transports.in_place import Waiting

whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")


class Waiter:
    """A task that waits for what others begin in its name, and does the rest."""

    def __init__(self):
        self._given = asyncio.get_running_loop().create_future()
        context = contextvars.copy_context()
        context.run(whose.set, "the waiter's")
        self.task = asyncio.create_task(self._run(), context=context)
        self.waiting = Waiting(self.task, context)

    async def _run(self):
        await (await self._given)

    def finish(self, rest):
        self._given.set_result(rest)
        return self.task


@pytest.fixture
async def waiter():
    waiter = Waiter()
    # It waits.
    await asyncio.sleep(0)
    yield waiter
    waiter.task.cancel()
    await asyncio.wait([waiter.task])


@pytest.fixture
def seen():
    return []


async def notes(seen, *waits):
    """Says who it is, before and after each wait."""
    seen.append((asyncio.current_task(), whose.get()))

    for wait in waits:
        await wait
        seen.append((asyncio.current_task(), whose.get()))


async def test_what_need_not_wait_is_done_at_once_in_the_name_of_the_task(waiter, seen):
    assert waiter.waiting.begin(notes(seen)) is None

    assert seen == [(waiter.task, "the waiter's")]
    assert asyncio.current_task() is not waiter.task
    assert whose.get() == "nobody's"


async def test_a_callback_of_the_loop_may_begin_it_too(waiter, seen):
    loop = asyncio.get_running_loop()
    begun = loop.create_future()
    loop.call_soon(
        lambda: begun.set_result(waiter.waiting.begin(notes(seen))),
        context=contextvars.Context(),
    )

    assert await begun is None
    assert seen == [(waiter.task, "the waiter's")]


async def test_what_waits_is_done_by_the_task(waiter, seen):
    future = asyncio.get_running_loop().create_future()
    rest = waiter.waiting.begin(notes(seen, future, asyncio.sleep(0)))
    assert len(seen) == 1
    done = waiter.finish(rest)
    await asyncio.sleep(0)
    assert len(seen) == 1
    future.set_result(None)
    await done

    assert seen == [(waiter.task, "the waiter's")] * 3


async def test_a_wait_that_is_over_before_the_task_comes_to_it_holds_nothing_up(
    waiter, seen
):
    future = asyncio.get_running_loop().create_future()
    rest = waiter.waiting.begin(notes(seen, future))
    future.set_result(None)
    await waiter.finish(rest)

    assert len(seen) == 2


async def test_a_timeout_begun_in_place_is_one_of_the_task(waiter, seen):
    async def too_long():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()

        seen.append("timed out")

    await waiter.finish(waiter.waiting.begin(too_long()))

    assert seen == ["timed out"]


async def test_cancel_of_the_task_reaches_what_was_begun(waiter, seen):
    async def interrupted():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    done = waiter.finish(waiter.waiting.begin(interrupted()))
    await asyncio.sleep(0)
    done.cancel()

    with pytest.raises(asyncio.CancelledError):
        await done

    assert seen == ["cleaned up"]


async def test_what_was_begun_and_is_wanted_no_more_can_be_closed(waiter, seen):
    async def interrupted():
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(seen.append, "closed")
            await asyncio.Event().wait()

    waiter.waiting.begin(interrupted()).close()

    assert seen == ["closed"]


async def test_error_is_raised_where_it_happens(waiter):
    async def fails(*, later):
        if later:
            await asyncio.sleep(0)

        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        waiter.waiting.begin(fails(later=False))

    assert asyncio.current_task() is not waiter.task

    with pytest.raises(ValueError, match="no"):
        await waiter.finish(waiter.waiting.begin(fails(later=True)))


async def test_any_awaitable_will_do(waiter):
    future = asyncio.get_running_loop().create_future()
    rest = waiter.waiting.begin(future)
    future.set_result("done")
    await waiter.finish(rest)

    assert waiter.waiting.begin(future) is None
