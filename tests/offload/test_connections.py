"""Connections of our threads: at once, kept as long as they may be, given back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, connections, transaction

from django_partstream import offload
from tests.offload.databases import KEPT, kept, open_connections, sleep
from tests.settings import TEST_DATABASE

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=KEPT)
def how(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    with kept(request.param):
        yield request.param


@pytest.fixture
def for_long(transactional_db: None) -> Iterator[None]:
    with kept("thread"):
        yield


async def until_open(before: set[int], *, new: int) -> None:
    """A server sees an end a moment later."""
    async with asyncio.timeout(60):
        while len(await asyncio.to_thread(open_connections) - before) != new:
            pass


def raw() -> int:
    """Which connection of the driver this thread has."""
    connection.ensure_connection()

    return id(connection.connection)


def kept_open() -> bool:
    return connection.connection is not None


async def test_six_sync_parts_take_the_time_of_one_and_leave_no_connection(
    how: str,
) -> None:
    pool = offload.Pool(6, name="test")
    before = await asyncio.to_thread(open_connections)
    ready = threading.Barrier(6, timeout=60)

    def part() -> tuple[float, float]:
        connection.ensure_connection()
        # Threads, and a connection each, take their time on a busy machine.
        ready.wait()
        began = time.perf_counter()
        sleep(0.5)

        return began, time.perf_counter()

    times = await asyncio.gather(*(pool.run(part) for _ in range(6)))

    # In quiet it is 0.5 s; one after the other it would be 3 s.
    assert max(end for _, end in times) - min(began for began, _ in times) < 2.8
    await asyncio.to_thread(pool.close)

    if how != "pool":
        await until_open(before, new=0)


async def test_connections_are_given_back(pool: offload.Pool, how: str) -> None:
    await pool.run(raw)

    assert await pool.run(kept_open) == (how == "thread")


async def test_calls_of_one_request_that_follow_each_other_share_one() -> None:
    pool = offload.Pool(1, name="test")
    begun, release = threading.Event(), threading.Event()

    def until_released() -> None:
        begun.set()
        release.wait(60)

    blocking = asyncio.create_task(pool.run(until_released))
    await asyncio.to_thread(begun.wait, 60)

    # They wait for the only thread, which then takes them one after the other.
    tasks = []

    for request, call in (
        ("a", was_open),
        ("a", was_open),
        ("b", was_open),
        ("b", was_open_and_is_closed),
        ("b", was_open_and_is_changed),
        ("b", was_open),
        (None, was_open),
        (None, was_open),
    ):
        with offload.running_with(pool.run, request=request):
            tasks.append(asyncio.create_task(offload.run_here(call)))

    async with asyncio.timeout(60):
        while pool.statistics().waiting != len(tasks):
            await asyncio.sleep(0)

    release.set()
    await blocking

    assert await asyncio.gather(*tasks) == [
        *(False, True),
        *(False, True, False, False),
        *(False, False),
    ]
    await asyncio.to_thread(pool.close)


def was_open() -> bool:
    """Whether this thread has a connection already; afterwards it has."""
    is_open = connection.connection is not None
    connection.ensure_connection()

    return is_open


def was_open_and_is_closed() -> bool:
    is_open = was_open()
    connection.close()

    return is_open


def was_open_and_is_changed() -> bool:
    is_open = was_open()
    transaction.set_autocommit(False)

    return is_open


async def test_a_thread_keeps_its_connection_as_long_as_conn_max_age(
    for_long: None,
) -> None:
    pool = offload.Pool(1, name="test")
    first = await pool.run(raw)
    assert await pool.run(raw) == first

    def make_old() -> None:
        connection.close_at = time.monotonic()

    await pool.run(make_old)
    assert not await pool.run(kept_open)
    await asyncio.to_thread(pool.close)


async def test_a_thread_without_work_closes_what_is_too_old(
    for_long: None,
) -> None:
    pool = offload.Pool(1, name="test")
    wrappers = []

    def nearly_old() -> None:
        connection.ensure_connection()
        connection.close_at = time.monotonic() + 0.05
        wrappers.append((connections["default"], connection.close_at))

    await pool.run(nearly_old)
    ((wrapper, close_at),) = wrappers

    async with asyncio.timeout(60):
        while wrapper.connection is not None:
            await asyncio.sleep(0.001)

    assert time.monotonic() >= close_at
    await asyncio.to_thread(pool.close)


async def test_the_end_of_a_pool_closes_what_its_threads_kept(for_long: None) -> None:
    before = await asyncio.to_thread(open_connections)
    pool = offload.Pool(3, name="test")
    barrier = threading.Barrier(3, timeout=60)
    await asyncio.gather(*(pool.run(lambda: (raw(), barrier.wait())) for _ in range(3)))
    await until_open(before, new=3)

    await asyncio.to_thread(pool.close)

    await until_open(before, new=0)


@pytest.mark.skipif(TEST_DATABASE != "postgresql", reason="about PostgreSQL")
async def test_a_connection_that_was_lost_is_not_kept(for_long: None) -> None:
    pool = offload.Pool(1, name="test")

    def lose() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(OperationalError):
        await pool.run(lose)

    assert not await pool.run(kept_open)
    await asyncio.to_thread(pool.close)


async def test_a_transaction_that_was_left_open_ends_with_its_call(
    pool: offload.Pool, how: str
) -> None:
    def careless() -> None:
        transaction.atomic().__enter__()
        Group.objects.create(name="one")

    await pool.run(careless)

    for in_block in await asyncio.gather(
        *(pool.run(offload.in_atomic_block) for _ in range(4))
    ):
        assert not in_block

    assert await pool.run(Group.objects.count) == 0
