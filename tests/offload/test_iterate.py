"""Sync iterables off the loop: one thread, a bounded lead, an end that is an end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.db import connection

from django_partstream import offload


class Numbers:
    """A generator function that tells how far it is, and where it was closed."""

    def __init__(self, *, raises: Exception | None = None) -> None:
        self.raises = raises
        self.threads: set[int] = set()
        self.made = 0
        self.is_waiting = threading.Event()
        self.closed = threading.Event()
        self.closed_in: int | None = None

    def __call__(self, count: int) -> Iterator[int]:
        try:
            for number in range(count):
                self.threads.add(threading.get_ident())
                self.made += 1
                yield number

            if self.raises is not None:
                raise self.raises
        finally:
            self.closed_in = threading.get_ident()
            self.closed.set()


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 60)


async def test_items_come_in_order_from_one_thread_off_the_loop() -> None:
    numbers = Numbers()

    assert [item async for item in offload.iterate(numbers, 1000)] == list(range(1000))
    assert len(numbers.threads) == 1
    assert numbers.threads != {threading.get_ident()}
    assert numbers.closed_in in numbers.threads


async def test_what_is_no_generator_is_iterated_too() -> None:
    assert [item async for item in offload.iterate(range, 3)] == [0, 1, 2]
    assert [item async for item in offload.iterate(range, 0)] == []


async def test_an_error_is_raised_behind_the_items_before_it() -> None:
    seen = []

    async def consume() -> None:
        items = offload.iterate(Numbers(raises=ValueError("no more")), 3)
        seen.extend([await anext(items) for _ in range(3)])
        await anext(items)

    with pytest.raises(ValueError, match="no more"):
        await consume()

    assert seen == [0, 1, 2]

    with pytest.raises(TypeError, match="'int' object is not iterable"):
        await anext(offload.iterate(len, "abc"))  # type: ignore[arg-type]


async def test_the_thread_waits_for_a_slow_consumer() -> None:
    numbers = Numbers()

    async with contextlib.aclosing(offload.iterate(numbers, 1000, waiting=4)) as items:
        assert await anext(items) == 0

        # What was taken, four that wait, one in the thread's hand.
        async with asyncio.timeout(60):
            while numbers.made < 6:
                await asyncio.sleep(0)

        await asyncio.sleep(0.05)
        assert numbers.made == 6

    assert numbers.made == 6


async def test_closing_closes_the_generator_in_its_thread() -> None:
    numbers = Numbers()
    items = offload.iterate(numbers, 1000)
    await anext(items)
    await items.aclose()

    assert numbers.closed.is_set()
    assert numbers.closed_in in numbers.threads


async def test_closing_while_an_item_is_made_stops_before_the_next() -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        try:
            yield 1
            begun.set()
            go_on.wait(60)
            yield 2
            pytest.fail("it went on")
        finally:
            closed.set()

    items = offload.iterate(slow)
    await anext(items)
    await reached(begun)
    await items.aclose()
    go_on.set()

    await reached(closed)


async def test_what_fails_when_it_is_stopped_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fragile() -> Iterator[int]:
        try:
            yield 1
            yield 2
            yield 3
            yield 4
        finally:
            raise LookupError("no key")

    # Where it is cancelled before it waits for its consumer, nobody is told.
    while not caplog.records:
        async with contextlib.aclosing(offload.iterate(fragile, waiting=1)) as items:
            await anext(items)

    record = caplog.records[0]
    assert record.getMessage() == "an iteration failed when it was stopped"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_cancelling_the_consumer_stops_the_thread() -> None:
    numbers = Numbers()
    first = asyncio.Event()

    async def consume() -> None:
        async for _ in offload.iterate(numbers, 1000):
            first.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consume())
    await first.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    await reached(numbers.closed)


async def test_a_consumer_that_calls_between_items_does_not_lock_up_inside() -> None:
    numbers = Numbers()

    async def consume() -> list[str]:
        return [
            await offload.run_sync(str, item)
            async for item in offload.iterate(numbers, 10)
        ]

    def part() -> tuple[int, int]:
        return threading.get_ident(), len(async_to_sync(consume)())

    async with asyncio.timeout(60):
        ends = await asyncio.gather(*(offload.run_sync(part) for _ in range(20)))

    assert {length for _, length in ends} == {10}
    assert numbers.threads <= {thread for thread, _ in ends}


async def test_iterating_here_is_iterating_where_nothing_is_said() -> None:
    numbers = Numbers()

    assert [item async for item in offload.iterate_here(numbers, 3)] == [0, 1, 2]
    assert numbers.threads != {threading.get_ident()}


@pytest.mark.database
@pytest.mark.django_db
def test_iterating_here_sees_the_transaction_of_the_request() -> None:
    Group.objects.bulk_create(Group(name=f"group {n}") for n in range(10))

    async def names() -> list[str]:
        with offload.running_with(offload.run_in_request_thread):
            rows = [
                row
                async for row in offload.iterate_here(
                    lambda: Group.objects.order_by("pk").iterator(chunk_size=2)
                )
            ]

        return [row.name for row in rows]

    assert async_to_sync(names)() == [f"group {n}" for n in range(10)]


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rows", [1, 100])
async def test_a_cursor_lives_in_one_thread_and_its_connection_is_given_back(
    rows: int,
) -> None:
    used = []

    def groups() -> Iterator[Group]:
        used.append(connection.connection)
        yield from Group.objects.order_by("pk").iterator(chunk_size=2)

    await offload.run_sync(
        Group.objects.bulk_create, [Group(name=f"group {n}") for n in range(100)]
    )
    seen = []

    async with contextlib.aclosing(offload.iterate(groups)) as items:
        async for group in items:
            seen.append(group.name)

            if len(seen) == rows:
                break

    assert seen == [f"group {n}" for n in range(rows)]

    def is_open() -> bool:
        return connection.connection is not None

    assert not any(
        await asyncio.gather(*(offload.run_sync(is_open) for _ in range(20)))
    )
