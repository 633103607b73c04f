"""Sync work off the loop: at once, with connections of its own, that are given back."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections, transaction
from django.utils import timezone, translation

from django_partstream import offload

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


async def test_calls_run_at_once(pool: offload.Pool) -> None:
    barrier = threading.Barrier(2, timeout=10)

    await asyncio.gather(pool.run(barrier.wait), pool.run(barrier.wait))


async def test_arguments_and_results_pass_and_errors_too(pool: offload.Pool) -> None:
    assert await pool.run(divmod, 7, 2) == (3, 1)

    with pytest.raises(ZeroDivisionError):
        await pool.run(divmod, 7, 0)


async def test_stop_iteration_does_not_hang(pool: offload.Pool) -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await pool.run(next, iter(()))


async def test_a_function_that_raises_cancelled_cancels_nobody(
    pool: offload.Pool,
) -> None:
    def odd() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="the function raised CancelledError"):
        await pool.run(odd)


async def test_context_language_and_time_zone_are_seen(pool: offload.Pool) -> None:
    VARIABLE.set("set")

    def look() -> tuple[str, str | None, str]:
        return (
            VARIABLE.get(),
            translation.get_language(),
            timezone.get_current_timezone_name(),
        )

    with translation.override("fr"), timezone.override("Asia/Tokyo"):
        assert await pool.run(look) == ("set", "fr", "Asia/Tokyo")

    with translation.override(None):
        assert (await pool.run(look))[1] is None


async def test_a_pool_whose_threads_all_wait_does_not_lock_up(
    pool: offload.Pool,
) -> None:
    def outer() -> int:
        return async_to_sync(inner)()

    async def inner() -> int:
        return await pool.run(threading.get_ident)

    async with asyncio.timeout(10):
        await asyncio.gather(*(pool.run(outer) for _ in range(4)))


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
async def test_connections_are_given_back(pool: offload.Pool) -> None:
    def query() -> None:
        connection.ensure_connection()

    def is_open() -> bool:
        return connection.connection is not None

    await pool.run(query)

    assert not await pool.run(is_open)


@pytest.mark.django_db(transaction=True)
async def test_the_request_thread_is_in_its_transaction() -> None:
    def in_block() -> bool:
        with transaction.atomic():
            return offload.in_atomic_block()

    assert await offload.run_in_request_thread(in_block)
    assert not await offload.run_in_request_thread(offload.in_atomic_block)


@pytest.mark.django_db
def test_a_failure_in_the_request_thread_leaves_the_transaction_usable() -> None:
    from django.contrib.auth.models import Group

    Group.objects.create(name="one")

    def double() -> None:
        Group.objects.create(name="one")

    with pytest.raises(Exception, match=r"UNIQUE|unique|Duplicate"):
        async_to_sync(offload.run_in_request_thread)(double)

    assert connections["default"].in_atomic_block
    assert Group.objects.count() == 1
