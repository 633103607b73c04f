"""Sync work off the loop: at once, with connections of its own, that are given back."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest
from django.utils import timezone, translation

from django_partstream import offload
from django_partstream.offload import pool as pool_module

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


async def test_calls_run_at_once(pool: offload.Pool) -> None:
    barrier = threading.Barrier(2, timeout=100)

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


async def test_what_a_call_sets_ends_with_it() -> None:
    pool = offload.Pool(1, name="test")

    def change() -> None:
        VARIABLE.set("changed")
        translation.activate("fr")
        timezone.activate("Asia/Tokyo")

    def look() -> tuple[str, str | None, str]:
        return (
            VARIABLE.get(),
            translation.get_language(),
            timezone.get_current_timezone_name(),
        )

    _, seen = await asyncio.gather(pool.run(change), pool.run(look))

    assert seen == ("unset", "en-us", "America/Chicago")
    pool.close()


async def test_quick_calls_of_the_same_moment_share_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A moment in which no other thread gets a turn, whatever the machine does beside.
    monkeypatch.setattr(pool_module, "SHARE_SECONDS", 60.0)
    pool = offload.Pool(6, name="test")
    # There is one that waits; to start it, others would get a turn.
    await pool.run(int)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60.0)

    try:
        for _ in range(50):
            calls = [pool.run(threading.get_ident) for _ in range(6)]
            assert len(set(await asyncio.gather(*calls))) == 1
    finally:
        sys.setswitchinterval(interval)
        pool.close()


async def test_a_slow_call_holds_none_of_the_same_moment_back(
    pool: offload.Pool,
) -> None:
    release = threading.Event()
    before = asyncio.create_task(pool.run(int))
    slow = asyncio.create_task(pool.run(release.wait, 100))
    behind = asyncio.create_task(pool.run(int))

    # Neither the result that it had made, nor the call behind it.
    async with asyncio.timeout(60):
        await before
        await behind

    assert not slow.done()
    release.set()
    assert await slow


async def test_a_result_does_not_wait_for_the_call_that_follows_in_its_thread() -> None:
    pool = offload.Pool(1, name="test")
    begun, release = threading.Event(), threading.Event()
    going_on = threading.Event()

    def until_going_on() -> None:
        begun.set()
        going_on.wait(100)

    first = asyncio.create_task(pool.run(until_going_on))
    await asyncio.to_thread(begun.wait, 100)

    # It comes later, when nobody counts on one thread for both.
    second = asyncio.create_task(pool.run(release.wait, 100))
    await asyncio.sleep(0.01)
    going_on.set()

    async with asyncio.timeout(60):
        await first

    assert not second.done()
    release.set()
    await second
    pool.close()


async def test_iterations_leave_threads_to_others(pool: offload.Pool) -> None:
    release = threading.Event()
    long = [asyncio.create_task(pool.run_long(release.wait, 100)) for _ in range(2)]

    async with asyncio.timeout(60):
        assert await asyncio.gather(*(pool.run(abs, -1) for _ in range(10))) == [1] * 10

    assert pool.statistics().running == 1
    assert pool.statistics().waiting == 1
    release.set()
    assert await asyncio.gather(*long) == [True, True]


async def test_a_closed_pool_lets_calls_end_and_takes_no_more() -> None:
    pool = offload.Pool(1, name="test")
    begun, release = threading.Event(), threading.Event()

    def until_released() -> str:
        begun.set()
        release.wait(100)

        return "ended"

    running = asyncio.create_task(pool.run(until_released))
    waiting = asyncio.create_task(pool.run(int))
    await asyncio.to_thread(begun.wait, 100)
    closing = asyncio.create_task(asyncio.to_thread(pool.close))

    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert not closing.done()
    release.set()
    await closing
    assert await running == "ended"
    assert pool.statistics().threads == 0

    with pytest.raises(RuntimeError, match=r"^The pool 'test' is closed\.$"):
        await pool.run(int)


async def test_the_pool_of_the_process_is_made_anew_after_its_end() -> None:
    assert await offload.run_sync(abs, -1) == 1
    offload.close()

    assert await offload.run_sync(abs, -1) == 1
    assert offload.statistics().threads == 1


async def test_loops_in_several_threads_share_a_pool(pool: offload.Pool) -> None:
    async def work() -> list[int]:
        return [await pool.run(abs, -number) for number in range(100)]

    loops = [asyncio.to_thread(asyncio.run, work()) for _ in range(4)]

    assert await asyncio.gather(*loops, work()) == [list(range(100))] * 5


async def test_a_call_outlives_the_loop_of_its_caller() -> None:
    pool = offload.Pool(1, name="test")
    begun, release = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        release.wait(100)

    async def caller() -> asyncio.Task[None]:
        task = asyncio.create_task(pool.run(call))
        await asyncio.to_thread(begun.wait, 100)

        return task

    # The end of `asyncio.run` cancels the task and closes the loop.
    assert (await asyncio.to_thread(asyncio.run, caller())).cancelled()
    assert pool.statistics().abandoned == 1
    release.set()

    assert await pool.run(abs, -1) == 1
    assert pool.statistics().abandoned == 0
    pool.close()


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


BEGINNING = """
import asyncio, os, sys, threading, time
import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()
from django_partstream import offload
"""


def test_a_process_ends_though_a_thread_of_ours_does_not() -> None:
    done = run(
        BEGINNING
        + """
async def main():
    begun = threading.Event()
    task = asyncio.create_task(
        offload.run_sync(lambda: (begun.set(), time.sleep(1000)))
    )
    await asyncio.to_thread(begun.wait)
    print("begun")

asyncio.run(main())
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\n", "")


def test_a_process_that_was_forked_has_threads_of_its_own() -> None:
    done = run(
        BEGINNING
        + """
async def main():
    print(await offload.run_sync(os.getpid) == os.getpid(), flush=True)

asyncio.run(main())
child = os.fork()

if child:
    os.waitpid(child, 0)

asyncio.run(main())
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n" * 3, "")
