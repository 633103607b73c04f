"""Threads of requests, which are used again by the next."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from django_partstream.transports import lent_threads
from django_partstream.transports.lent_threads import MOST_IDLE, lent_thread
from django_partstream.transports.request_thread import call, end_thread


@pytest.fixture(autouse=True)
def none_idle(monkeypatch):
    monkeypatch.setattr(lent_threads, "_idle", type(lent_threads._idle)())


async def this_thread():
    return await call(threading.current_thread)


def test_requests_that_follow_each_other_have_one_thread():
    async def run():
        threads = []

        for _ in range(3):
            async with lent_thread():
                threads += [await this_thread(), await this_thread()]

        return threads

    threads = asyncio.run(run())

    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()


def test_requests_at_once_have_one_thread_each_and_few_are_kept():
    async def request(together):
        async with lent_thread():
            thread = await this_thread()
            await together.wait()

            return thread

    async def run(size):
        together = asyncio.Barrier(size)

        return await asyncio.gather(*(request(together) for _ in range(size)))

    threads = asyncio.run(run(MOST_IDLE + 4))

    assert len(set(threads)) == MOST_IDLE + 4
    assert len(lent_threads._idle) == MOST_IDLE
    assert len(set(asyncio.run(run(MOST_IDLE))) - set(threads)) == 0


def test_thread_inside_of_another_request_is_that_one():
    async def run():
        async with lent_thread():
            outer = await this_thread()

            async with lent_thread():
                return outer, await this_thread(), await this_thread()

    assert len(set(asyncio.run(run()))) == 1


def test_thread_that_is_ended_serves_the_next_request_and_this_one_gets_another():
    async def run():
        is_over = asyncio.Event()
        other: asyncio.Queue[int] = asyncio.Queue()

        async with lent_thread(), asyncio.TaskGroup() as group:
            first = await this_thread()
            end_thread()
            # A server begins each in a context of its own.
            group.create_task(other_request(is_over, other), context=Context())
            lent = await other.get()
            late = await this_thread()
            is_over.set()

            return first, lent, late

    async def other_request(is_over, other):
        async with lent_thread():
            other.put_nowait(await this_thread())
            await is_over.wait()

    first, other, late = asyncio.run(run())

    assert other is first
    assert late is not first


@pytest.mark.django_db(transaction=True)
def test_thread_with_an_open_transaction_serves_no_other_request():
    entered = transaction.atomic()

    def leave_open():
        entered.__enter__()

        return threading.current_thread()

    async def run():
        async with lent_thread():
            spoiled = await call(leave_open)

        async with lent_thread():
            other = await this_thread()
            state = await call(lambda: connection.in_atomic_block)

        return spoiled, other, state

    spoiled, other, state = asyncio.run(run())

    assert other is not spoiled
    assert state is False


def test_thread_that_is_still_at_work_serves_no_other_request():
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go_on.wait(60)

        return threading.current_thread()

    async def run():
        async with lent_thread():
            working = asyncio.create_task(sync_to_async(work)())
            await asyncio.to_thread(begun.wait)
            end_thread()
            others = asyncio.create_task(in_another_request(), context=Context())
            other = await others
            go_on.set()
            busy = await working

            return busy, other, await this_thread()

    async def in_another_request():
        async with lent_thread():
            return await this_thread()

    busy, other, then = asyncio.run(run())

    assert other is not busy
    assert then is busy
