"""What becomes of a call when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection, transaction

from django_partstream import offload
from tests.forms import count
from tests.offload.databases import KEPT, for_ever, kept, open_connections, sleep
from tests.settings import TEST_DATABASE

pytestmark = pytest.mark.django_db(transaction=True)

#: MariaDB is asked to end nothing.
ends = pytest.mark.skipif(
    TEST_DATABASE == "mariadb", reason="statements run to their end there"
)


@pytest.fixture(params=KEPT)
def how(request: pytest.FixtureRequest, transactional_db: None) -> Iterator[str]:
    with kept(request.param):
        yield request.param


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_has_not_begun_never_runs(pool: offload.Pool) -> None:
    release = threading.Event()
    ran: list[int] = []
    blocking = [asyncio.create_task(pool.run(release.wait, 60)) for _ in range(2)]
    waiting = asyncio.create_task(pool.run(ran.append, 1))
    await until(lambda: pool.statistics().running == 2)
    assert pool.statistics().waiting == 1

    await cancel(waiting)
    assert pool.statistics().waiting == 0
    release.set()
    await asyncio.gather(*blocking)

    assert ran == []


async def test_an_abandoned_thread_is_counted_and_comes_back(
    pool: offload.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    for _ in range(2):
        tasks = [asyncio.create_task(pool.run(release.wait, 60)) for _ in range(2)]
        await until(lambda: pool.statistics().running == 2)

        for task in tasks:
            await cancel(task)

        assert pool.statistics() == offload.Statistics(
            threads=2, most=2, running=0, waiting=0, abandoned=2
        )
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert record.getMessage() == (
            "all 2 threads of 'test' are at calls that nobody waits for any more; "
            "others wait until one of them ends. Give slow calls a timeout of their "
            "own, or let them ask offload.is_cancelled()."
        )

        # It waits its turn, and has it.
        next_one = asyncio.create_task(pool.run(divmod, 7, 2))
        await until(lambda: pool.statistics().waiting == 1)
        release.set()
        assert await next_one == (3, 1)
        await until(lambda: pool.statistics().abandoned == 0)
        release.clear()
        caplog.clear()


async def test_a_long_computation_can_ask_whether_anybody_waits(
    pool: offload.Pool,
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()

        while not offload.is_cancelled():
            time.sleep(0.001)

        ended.set()

    task = asyncio.create_task(pool.run(compute))
    await until(begun.is_set)
    await cancel(task)
    await until(ended.is_set)

    assert not offload.is_cancelled()


@ends
@pytest.mark.database
async def test_the_running_statement_is_ended(pool: offload.Pool, how: str) -> None:
    await pool.run(sleep, 0)
    task = asyncio.create_task(pool.run(for_ever))

    if TEST_DATABASE == "postgresql":
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(open_connections, state="active"):
                pass

    else:
        await until(lambda: pool.statistics().running == 1)

    # Nothing is waited for: the statement has no end.
    async with asyncio.timeout(60):
        await cancel(task)

    await until(lambda: pool.statistics().abandoned == 0)

    if TEST_DATABASE == "postgresql":
        assert not await asyncio.to_thread(open_connections, state="active")


@ends
@pytest.mark.database
async def test_what_tries_again_is_refused(pool: offload.Pool, how: str) -> None:
    outcomes: list[str] = []

    def stubborn() -> None:
        try:
            for _ in range(100):
                try:
                    for_ever()
                except Exception as error:
                    outcomes.append(repr(error))
        except BaseException as error:
            outcomes.append(repr(error))
            raise

    task = asyncio.create_task(pool.run(stubborn))
    await until(lambda: pool.statistics().running == 1)
    await asyncio.sleep(0.05)
    await cancel(task)
    await until(lambda: pool.statistics().abandoned == 0)

    assert outcomes == [
        "CancelledError(\"Nobody waits for this statement on 'default'.\")"
    ]


@pytest.mark.database
async def test_a_statement_after_the_cancel_is_refused(
    pool: offload.Pool, how: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    outcomes: list[BaseException] = []

    def write() -> None:
        with transaction.atomic():
            Group.objects.create(name="one")
            begun.set()
            go_on.wait(60)

            try:
                Group.objects.create(name="two")
            except BaseException as error:
                outcomes.append(error)
                raise

    task = asyncio.create_task(pool.run(write))
    await until(begun.is_set)
    await cancel(task)
    go_on.set()
    await until(lambda: pool.statistics().abandoned == 0)

    assert [type(error) for error in outcomes] == [asyncio.CancelledError]
    assert await pool.run(Group.objects.count) == 0


@ends
@pytest.mark.database
async def test_a_cancelled_iteration_ends_its_statement(how: str) -> None:
    closed = threading.Event()

    def rows() -> Iterator[int]:
        try:
            yield 1
            for_ever()
            yield 2
        finally:
            closed.set()

    async with contextlib.aclosing(offload.iterate(rows)) as items:
        assert await anext(items) == 1
        await asyncio.sleep(0.02)

    await until(closed.is_set)
    await until(lambda: offload.statistics().abandoned == 0)
    offload.close()


@ends
@pytest.mark.database
async def test_a_cancelled_call_in_the_thread_of_the_request_is_ended() -> None:
    begun, ended = threading.Event(), threading.Event()

    def call() -> None:
        try:
            connection.ensure_connection()
            begun.set()
            for_ever()
        finally:
            ended.set()

    task = asyncio.create_task(offload.run_in_request_thread(call))
    await until(begun.is_set)
    await cancel(task)
    await until(ended.is_set)

    # Closed, and nothing of ours is left on it.
    assert await offload.run_in_request_thread(lambda: connection.connection) is None
    assert (
        await offload.run_in_request_thread(
            lambda: "close" in vars(connection) or connection.execute_wrappers
        )
        == []
    )


@pytest.mark.database
@pytest.mark.skipif(TEST_DATABASE != "mariadb", reason="about MariaDB")
async def test_where_a_statement_cannot_be_ended_it_runs_to_its_end(
    pool: offload.Pool,
) -> None:
    name = f"{connection.settings_dict['NAME']}.held"
    held: Any = connection
    parameters = connection.get_connection_params()

    def locked() -> None:
        with connection.cursor() as cursor:
            begun.set()
            cursor.execute("SELECT GET_LOCK(%s, 60)", [name])
            cursor.execute("SELECT RELEASE_LOCK(%s)", [name])

    begun = threading.Event()

    with contextlib.closing(held.Database.connect(**parameters)) as holder:
        holder.cursor().execute("SELECT GET_LOCK(%s, 60)", [name])
        task = asyncio.create_task(pool.run(locked))
        await until(begun.is_set)
        await cancel(task)
        assert pool.statistics().abandoned == 1

    await until(lambda: pool.statistics().abandoned == 0)


@pytest.mark.database
@pytest.mark.skipif(TEST_DATABASE != "postgresql", reason="about PostgreSQL")
async def test_no_cancel_hits_a_statement_of_another(how: str) -> None:
    """Cancels at every moment of short calls, among calls and users of the same
    connections that nobody cancels."""
    chance = random.Random(3)
    pool = offload.Pool(4, name="test", ends_statements=True)
    cancels = count(150, 2000)
    bystanders = 0
    done = threading.Event()
    hits: list[OperationalError] = []

    def another_user() -> None:
        # A thread that is not ours: it takes what Django's pool gives it.
        while not done.is_set():
            try:
                sleep(0.0005)
            except OperationalError as error:
                hits.append(error)
            finally:
                connection.close()

    async def live() -> None:
        nonlocal bystanders

        while not done.is_set():
            await pool.run(sleep, 0.0005)
            bystanders += 1

    async def die() -> None:
        nonlocal cancels

        while cancels > 0:
            task = asyncio.create_task(pool.run(sleep, 0.003))
            await asyncio.wait([task], timeout=chance.uniform(0, 0.006))
            cancels -= not task.done()
            task.cancel()

            with contextlib.suppress(asyncio.CancelledError):
                await task

    user = threading.Thread(target=another_user)
    user.start()

    try:
        async with asyncio.TaskGroup() as group:
            living = [group.create_task(live()) for _ in range(2)]

            async with asyncio.TaskGroup() as dying:
                for _ in range(3):
                    dying.create_task(die())

            done.set()

        for task in living:
            task.result()
    finally:
        done.set()
        await asyncio.to_thread(user.join)
        await asyncio.to_thread(pool.close)

    assert hits == []
    assert bystanders > 0
