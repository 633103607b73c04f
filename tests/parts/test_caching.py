"""`cached_for`: what is kept, for whom, and that it is made once."""

from __future__ import annotations

import asyncio
import datetime
import functools
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.cache import cache
from django.test import RequestFactory
from django.utils import timezone, translation
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from asgi_example import services
from django_partstream import ProgressiveView, cached_for, lazy, offload
from django_partstream.errors import PartTypeError
from django_partstream.parts import caching, observer, shelf
from django_partstream.parts.cache_key import _UnknownError, identify
from django_partstream.parts.caching import Cached, not_older_than
from django_partstream.parts.composed import resolve
from django_partstream.parts.part import Lazy
from tests.forms import count

ROOT = Path(__file__).resolve().parent.parent.parent
REDIS = "django.core.cache.backends.redis.RedisCache"
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"

#: How often the functions below ran, by name.
CALLS: Counter[str] = Counter()


@pytest.fixture(params=["locmem", "redis"])
def kept_in(request: pytest.FixtureRequest, settings: Any) -> str:
    """Where values are kept; emptied."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": url}}
    else:
        settings.CACHES = {
            "default": {"BACKEND": LOCMEM, "LOCATION": str(uuid.uuid4())}
        }

    return str(request.param)


@pytest.fixture
def locmem(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": LOCMEM, "LOCATION": str(uuid.uuid4())}}


def request(path: str = "/", user: Any = None, **extra: Any) -> Any:
    made = RequestFactory().get(path, **extra)
    made.user = AnonymousUser() if user is None else user

    return made


def user(pk: int) -> Any:
    return get_user_model()(pk=pk, username=f"user{pk}")


def counted(name: str) -> int:
    CALLS[name] += 1

    return CALLS[name]


def slow_sync(name: str, request: Any = None) -> Any:
    time.sleep(0.05)  # as a query takes its time, so that the others come meanwhile

    return {"call": counted(name)}


async def slow_async(name: str, request: Any = None) -> Any:
    await asyncio.sleep(0.05)

    return {"call": counted(name)}


def quick(name: str, request: Any = None) -> Any:
    return {"call": counted(name)}


def fresh_name() -> str:
    return str(uuid.uuid4())


def around(fn: Callable[..., Any], *, ttl: float = 300, vary: Any = "public") -> Any:
    """`fn` for a name of this test's own, kept."""
    return cached_for(ttl, vary=vary)(functools.partial(fn, fresh_name()))


# Made once.


@pytest.mark.parametrize("function", [slow_sync, slow_async])
async def test_two_hundred_misses_compute_once(kept_in: str, function: Any) -> None:
    cached = around(function)

    values = await asyncio.gather(*(resolve(cached) for _ in range(200)))

    assert values == [{"call": 1}] * 200
    assert await resolve(cached) == {"call": 1}


async def test_misses_on_several_loops_compute_once(kept_in: str) -> None:
    cached = around(slow_sync)
    barrier = threading.Barrier(4, timeout=60)

    async def fifty() -> list[Any]:
        return await asyncio.gather(*(resolve(cached) for _ in range(50)))

    def on_a_loop_of_its_own() -> list[Any]:
        barrier.wait()
        return asyncio.run(fifty())

    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(on_a_loop_of_its_own) for _ in range(4)]
        values = [value for run in runs for value in run.result(timeout=60)]

    assert values == [{"call": 1}] * 200


async def test_sync_and_async_parts_of_two_functions_compute_each_once(
    kept_in: str,
) -> None:
    both = [around(slow_sync), around(slow_async)]

    values = await asyncio.gather(*(resolve(both[n % 2]) for n in range(200)))

    assert values == [{"call": 1}] * 200


OTHER_PROCESS = """
import asyncio, functools, os, sys, time
import django
django.setup()
import redis
from django_partstream import cached_for
from django_partstream.parts.composed import resolve

client = redis.Redis.from_url(os.environ["COUNTS"])

async def compute():
    await asyncio.sleep(0.3)
    return {"call": client.incr("calls")}

async def main():
    cached = cached_for(60, vary="public")(compute)
    client.incr("ready")
    while int(client.get("ready") or 0) < 3:
        await asyncio.sleep(0.01)
    values = await asyncio.gather(*(resolve(cached) for _ in range(20)))
    print(max(value["call"] for value in values))

asyncio.run(main())
"""


def test_three_processes_compute_once(redis_url: str) -> None:
    settings = (
        "from tests.settings import *\n"
        f"CACHES = {{'default': {{'BACKEND': {REDIS!r}, 'LOCATION': {redis_url!r}}}}}"
    )
    code = (
        "import sys, types; module = types.ModuleType('cached_settings');"
        f"exec({settings!r}, module.__dict__);"
        "sys.modules['cached_settings'] = module\n" + OTHER_PROCESS
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "cached_settings",
        "COUNTS": redis_url,
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            # A hash seed of its own: the key must not depend on it.
            env={**environment, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(1, 4)
    ]
    said = [process.communicate(timeout=110)[0] for process in started]

    assert [process.returncode for process in started] == [0, 0, 0]
    assert said == ["1\n"] * 3


async def test_followers_hold_no_thread(locmem: None) -> None:
    pool = offload.Pool(2, name="two")
    inner = around(slow_sync)

    async def nested() -> Any:
        return await resolve(inner)

    outer = cached_for(60, vary="public")(nested)

    try:
        with offload.running_with(pool.run):
            values = await asyncio.gather(
                *(resolve(outer) for _ in range(20)),
                *(resolve(inner) for _ in range(20)),
            )
    finally:
        pool.close()

    assert values == [{"call": 1}] * 40


async def test_what_waits_for_itself_is_refused(locmem: None) -> None:
    @cached_for(60, vary="public")
    async def endless(number: int) -> Any:
        return await endless(number % 3 + 1)

    with pytest.raises(RecursionError) as caught:
        await endless(1)

    assert str(caught.value) == (
        "cached_for: test_what_waits_for_itself_is_refused.<locals>.endless waits for "
        "itself."
    )
    assert len(caching._flights) == 0


async def test_a_cancelled_leader_hands_over(kept_in: str) -> None:
    began: list[asyncio.Event] = []
    go_on = asyncio.Event()
    name = fresh_name()

    async def compute() -> Any:
        began[-1].set()
        await go_on.wait()

        return counted(name)

    cached = Cached(Plain(compute), 60, "public")
    began.append(asyncio.Event())
    leader = asyncio.create_task(resolve(cached))
    await began[0].wait()
    followers = [asyncio.create_task(resolve(cached)) for _ in range(5)]
    began.append(asyncio.Event())
    leader.cancel()
    await began[1].wait()
    followers[0].cancel()
    followers[1].cancel()
    await asyncio.sleep(0)
    go_on.set()

    outcomes = await asyncio.gather(leader, *followers, return_exceptions=True)

    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[3:] == [1, 1, 1]
    assert len(caching._flights) == 0


class Plain:
    """A function that holds what no key can tell apart, made tellable by its id."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        self.name = fresh_name()
        PLAIN[self.name] = fn

    async def __call__(self) -> Any:
        return await PLAIN[self.name]()


PLAIN: dict[str, Callable[[], Any]] = {}


async def test_a_failure_is_shared_by_those_who_wait_and_not_kept(
    kept_in: str,
) -> None:
    name = fresh_name()

    async def fails_once() -> Any:
        await asyncio.sleep(0.02)

        if counted(name) == 1:
            raise ConnectionError("down")

        return "up"

    cached = Cached(Plain(fails_once), 60, "public")

    outcomes = await asyncio.gather(
        *(resolve(cached) for _ in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {ConnectionError}
    assert CALLS[name] == 1

    assert await resolve(cached) == "up"
    assert await resolve(cached) == "up"
    assert CALLS[name] == 2


@pytest.mark.parametrize("seed", range(count(8, 1_000)))
def test_whoever_fails_or_leaves_the_others_get_a_value(
    seed: int, locmem: None
) -> None:
    """Parts of one key come, are cancelled and fail in any order."""
    random, name = Random(seed), fresh_name()

    async def compute() -> Any:
        await asyncio.sleep(random.choice([0, 0, 0.001]))

        if random.random() < 0.3:
            raise ConnectionError("down")

        return counted(name)

    async def main() -> list[Any]:
        cached = Cached(Plain(compute), 60, "public")
        tasks = []

        for _ in range(random.randint(2, 20)):
            tasks.append(asyncio.create_task(resolve(cached)))

            if random.random() < 0.5:
                await asyncio.sleep(0)

            if random.random() < 0.4:
                random.choice(tasks).cancel()

        async with asyncio.timeout(60):
            return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(main())

    values = [outcome for outcome in outcomes if isinstance(outcome, int)]
    errors = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert {type(error) for error in errors} <= {
        ConnectionError,
        asyncio.CancelledError,
    }

    # Once, and once more for each leader that left before its value was put away.
    left = sum(isinstance(error, asyncio.CancelledError) for error in errors)
    assert all(1 <= value <= 1 + left for value in values)
    assert len(caching._flights) == 0


async def test_another_processs_value_is_awaited(
    kept_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = around(quick)
    key = cached.key((), {})
    claim = key + ".claim"
    await asyncio.to_thread(cache.add, claim, ("another process", time.time()), 30)
    waiting = asyncio.create_task(resolve(cached))

    while not caching._flights:
        await asyncio.sleep(0)

    stored = ("theirs", time.time(), time.time() + 60)
    await asyncio.to_thread(cache.set, key, stored, 60)

    assert await waiting == "theirs"

    # One that never gives its value is not awaited for ever.
    monkeypatch.setattr(caching, "WAIT_SECONDS", 0.05)
    dead = around(quick)
    claim = dead.key((), {}) + ".claim"
    await asyncio.to_thread(cache.add, claim, ("a dead process", time.time()), 30)

    assert await resolve(dead) == {"call": 1}


# What is kept.


async def test_none_is_kept_too(kept_in: str) -> None:
    name = fresh_name()

    def nothing() -> None:
        counted(name)

    cached = cached_for(60, vary="public")(nothing)

    assert [await resolve(cached) for _ in range(3)] == [None] * 3
    assert CALLS[name] == 1


@pytest.mark.django_db(transaction=True)
async def test_values_are_kept_evaluated(kept_in: str) -> None:
    from rest_framework import serializers

    class UserSerializer(serializers.ModelSerializer[Any]):
        class Meta:
            model = get_user_model()
            fields = ["username"]

    await get_user_model().objects.acreate(username="ann")

    def rows() -> Any:
        return get_user_model().objects.values("username")

    def serialized() -> Any:
        return UserSerializer(get_user_model().objects.all(), many=True)

    def generated() -> Any:
        yield from rows()

    for fn in (rows, serialized, generated):
        cached = cached_for(60)(fn)
        first = await resolve(cached)
        await get_user_model().objects.all().adelete()
        second = await resolve(cached)
        await get_user_model().objects.acreate(username="ann")

        assert first == second == [{"username": "ann"}]
        assert type(second) is list


async def test_a_hit_is_told_to_the_observer(kept_in: str) -> None:
    cached = around(quick)

    with observer.watch_cache() as marks:
        await resolve(cached)
        assert marks == []

        await resolve(cached)
        assert marks == [True]


async def test_a_value_is_made_again_when_its_time_is_over(
    kept_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = around(quick, ttl=29.5)
    assert await resolve(cached) == await resolve(cached) == {"call": 1}

    # Redis itself counts whole seconds, and has it still.
    later = time.time() + 29.6
    monkeypatch.setattr(shelf, "time", SimpleNamespace(time=lambda: later))

    assert await resolve(cached) == {"call": 2}


async def test_nothing_older_than_a_moment_is_taken(kept_in: str) -> None:
    cached = around(quick)
    assert await resolve(cached) == {"call": 1}

    with not_older_than(time.time()):
        assert await resolve(cached) == {"call": 2}
        assert await resolve(cached) == {"call": 2}

    assert await resolve(cached) == {"call": 2}


async def test_work_that_began_before_a_moment_is_not_followed(kept_in: str) -> None:
    began, go_on, name = asyncio.Event(), asyncio.Event(), fresh_name()

    async def compute() -> Any:
        call = counted(name)

        if call == 1:
            began.set()
            await go_on.wait()

        return call

    cached = Cached(Plain(compute), 60, "public")
    old = asyncio.create_task(resolve(cached))
    await began.wait()

    with not_older_than(time.time()):
        assert await resolve(cached) == 2

    go_on.set()
    assert await old == 1


def test_a_call_by_hand_takes_and_keeps(kept_in: str) -> None:
    cached = around(quick)

    assert cached(None) == {"call": 1}
    assert cached(None) == {"call": 1}
    # None is another argument than none.
    assert cached() == {"call": 2}


# For whom.


async def test_users_have_values_of_their_own(kept_in: str) -> None:
    cached = around(quick, vary="user")
    ann, bob = request(user=user(1)), request(user=user(2))

    assert await resolve(cached, ann) == await resolve(cached, ann) == {"call": 1}
    assert await resolve(cached, bob) == {"call": 2}
    assert await resolve(cached, request()) == {"call": 3}
    assert await resolve(cached, request()) == {"call": 3}


async def test_anonymous_visitors_with_sessions_do_not_share(locmem: None) -> None:
    cached = around(quick, vary="user")
    visitors = [request(), request()]

    for visitor, key in zip(visitors, ("a" * 32, "b" * 32), strict=True):
        visitor.session = SessionStore(session_key=key)

    assert await resolve(cached, visitors[0]) == {"call": 1}
    assert await resolve(cached, visitors[1]) == {"call": 2}
    assert await resolve(cached, visitors[0]) == {"call": 1}


async def test_public_values_are_shared(kept_in: str) -> None:
    cached = around(quick, vary="public")

    for one in (request(user=user(1)), request(user=user(2)), request()):
        assert await resolve(cached, one) == {"call": 1}


async def test_a_function_says_who_shares(kept_in: str) -> None:
    def staff(request: Any) -> Any:
        return request.user.is_staff

    cached = around(quick, vary=staff)
    boss, clerk, other = user(1), user(2), user(3)
    boss.is_staff = True

    assert await resolve(cached, request(user=boss)) == {"call": 1}
    assert await resolve(cached, request(user=clerk)) == {"call": 2}
    assert await resolve(cached, request(user=other)) == {"call": 2}


async def test_a_user_that_has_no_key_is_refused(locmem: None) -> None:
    cached = around(quick, vary="user")
    robot = SimpleNamespace(is_authenticated=True, pk=None)

    with pytest.raises(PartTypeError) as caught:
        await resolve(cached, request(user=robot))

    assert str(caught.value) == (
        "cached_for(vary='user'): SimpleNamespace has no primary key to tell users "
        "apart. Give cached_for(vary=…) a function of the request."
    )


async def test_the_query_the_host_the_language_and_the_zone_count(
    locmem: None,
) -> None:
    cached = around(quick)
    base = request("/?a=1&b=2")
    assert await resolve(cached, base) == {"call": 1}

    for same in ("/?b=2&a=1", "/?a=1&b=2&cursor=x&chunk_size=9&parts=p&live=1"):
        assert await resolve(cached, request(same)) == {"call": 1}

    others = [
        request("/?a=1&b=3"),
        request("/?a=1"),
        request("/?a=1&a=1&b=2"),
        request("/?a=1&b=2", headers={"host": "localhost"}),
    ]

    for number, other in enumerate(others, 2):
        assert await resolve(cached, other) == {"call": number}

    with translation.override("de"):
        assert await resolve(cached, base) == {"call": 6}

    with timezone.override("Asia/Tokyo"):
        assert await resolve(cached, base) == {"call": 7}


def test_a_view_at_two_addresses_is_told_apart(
    locmem: None, rf: RequestFactory
) -> None:
    class OfRegion(ProgressiveView):
        region = ""

        @cached_for(60, vary="public")
        def get_region(self, request: Any = None) -> str:
            return self.region

        def get_parts(self) -> Any:
            return [("region", lazy(self.get_region))]

    for region in ("eu", "us", "eu"):
        view: Any = OfRegion.as_view(region=region)
        response = async_to_sync(view)(rf.get(f"/{region}/"))
        response.render()
        assert json.loads(response.content)["results"] == [{"region": region}]


class Totals(ProgressiveView):
    """Parts that differ in what their functions hold alone."""

    @cached_for(60, vary="public")
    def inherited(self, request: Any = None) -> str:
        return f"{type(self).__name__} {self.kwargs}"

    def get_parts(self) -> Any:
        parts: list[Any] = [("inherited", lazy(self.inherited))]

        for year in (2024, 2025):
            parts += [
                (f"default {year}", self.keep(lambda year=year: ["default", year])),
                (f"partial {year}", self.keep(functools.partial(self.total, year))),
                (f"closed {year}", self.keep(self.closing_over(year))),
            ]

        left, right = self.keep(lambda: "left"), self.keep(lambda: "right")

        return [*parts, ("left", left), ("right", right)]

    def keep(self, fn: Any) -> Lazy:
        return lazy(cached_for(60, vary="public")(fn))

    def total(self, year: int) -> Any:
        return ["partial", year]

    def closing_over(self, year: int) -> Any:
        return lambda: ["closed", year]


class Others(Totals):
    """The same methods in another view."""


def test_parts_are_told_apart_by_what_their_functions_hold(
    locmem: None, rf: RequestFactory
) -> None:
    expected = {
        "default 2024": ["default", 2024],
        "partial 2024": ["partial", 2024],
        "closed 2024": ["closed", 2024],
        "default 2025": ["default", 2025],
        "partial 2025": ["partial", 2025],
        "closed 2025": ["closed", 2025],
        "left": "left",
        "right": "right",
    }

    def parts(view: Any, **kwargs: Any) -> Any:
        response = async_to_sync(view.as_view())(rf.get("/?chunk_size=9"), **kwargs)
        response.render()
        results = json.loads(response.content)["results"]

        return {name: data for one in results for name, data in one.items()}

    for _ in range(2):
        assert parts(Totals) == {"inherited": "Totals {}", **expected}
        assert parts(Others) == {"inherited": "Others {}", **expected}
        assert parts(Totals, pk=1)["inherited"] == "Totals {'pk': 1}"


async def test_what_cannot_be_told_apart_is_refused(locmem: None) -> None:
    lock = threading.Lock()

    with pytest.raises(PartTypeError) as caught:
        await resolve(cached_for(60)(lambda: lock.locked()))

    assert str(caught.value) == (
        "cached_for: test_what_cannot_be_told_apart_is_refused.<locals>.<lambda> holds "
        "an object of _thread.lock, which has nothing that tells it from another, so "
        "that one's data could be served for the other's. Make the function a method "
        "of the view, or pass plain values such as keys and dates."
    )

    with pytest.raises(PartTypeError, match=r"holds an unsaved auth\.User"):
        await resolve(cached_for(60)(functools.partial(repr, get_user_model()())))


def test_objects_are_told_apart_by_what_they_are() -> None:
    class Report:
        def __init__(self, year: int) -> None:
            self.year = year

        def total(self) -> Any: ...

    assert identify(Report(2024).total) == identify(Report(2024).total)
    assert identify(Report(2024).total) != identify(Report(2025).total)

    for unknown in (threading.Lock(), (n for n in [1]), sys.__stdout__):
        with pytest.raises(_UnknownError):
            identify(SimpleNamespace(inside=unknown))


#: A busy machine may make any example a slow one.
patient = hypothesis_settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes()
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


@patient
@given(plain, plain)
def test_identities_are_equal_just_for_equal_values(one: Any, other: Any) -> None:
    assert identify(one) == identify(other) or not same(one, other)
    assert repr(identify(one)) != repr(identify(other)) or same(one, other)


def same(one: Any, other: Any) -> bool:
    """Equal with equal types: 1 is not True, nor 1.0."""
    if type(one) is not type(other):
        return False

    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(value, other[key]) for key, value in one.items()
        )

    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))

    if isinstance(one, float):
        return repr(one) == repr(other)

    return bool(one == other and str(one) == str(other))


def test_rows_and_what_is_odd_are_told_apart() -> None:
    later: Any

    def holds_later() -> Any:
        return later

    empty = identify(holds_later)
    later = 1

    assert identify(user(1)) == identify(user(1)) != identify(user(2))
    assert identify(holds_later) != empty
    assert identify(...) != identify(NotImplemented)

    nested: list[Any] = []

    for _ in range(60):
        nested = [nested]

    with pytest.raises(_UnknownError, match="nested too deeply"):
        identify(nested)

    circular: list[Any] = []
    circular.append(circular)
    assert identify(circular) == identify(circular)


def test_sets_dates_and_querysets_are_told_apart(db: None) -> None:
    users = get_user_model().objects
    day = datetime.date(2026, 1, 1)

    assert identify({"a", "b", "c"}) == identify({"c", "b", "a"})
    assert identify({"a", "b"}) != identify({"a", "c"})
    assert identify(day) != identify(day.isoformat())
    assert identify(users.filter(pk=1).count) == identify(users.filter(pk=1).count)
    assert identify(users.filter(pk=1).count) != identify(users.filter(pk=2).count)
    assert identify(users.none().count) != identify(users.all().count)
    assert identify(users.count) != identify(users.exists)


# A cache that is none.


async def test_a_dummy_cache_keeps_nothing_and_breaks_nothing(settings: Any) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    }
    cached = around(quick)

    assert await resolve(cached) == {"call": 1}
    assert await resolve(cached) == {"call": 2}


async def test_a_cache_that_is_down_is_logged_once(
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    refusing_port: int,
) -> None:
    monkeypatch.setattr(caching, "_shelf", shelf.Shelf())
    url = f"redis://127.0.0.1:{refusing_port}/0"
    settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": url}}
    cached = around(slow_async)

    values = await asyncio.gather(*(resolve(cached) for _ in range(20)))

    assert values == [{"call": 1}] * 20
    assert await resolve(cached) == {"call": 2}
    assert [record.getMessage() for record in caplog.records] == [
        "the cache 'default' fails; parts are made without it"
    ]


async def test_what_cannot_be_pickled_is_made_each_time(
    locmem: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "_shelf", shelf.Shelf())
    name = fresh_name()

    def compute() -> Any:
        counted(name)

        return {"lock": threading.Lock()}

    cached = cached_for(60, vary="public")(compute)
    await resolve(cached)
    await resolve(cached)

    assert CALLS[name] == 2


@pytest.fixture
def own_redis(settings: Any) -> Iterator[services.Redis]:
    with services.redis() as server:
        settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": server.url}}
        yield server


async def test_calls_open_no_connection_each(redis_url: str, settings: Any) -> None:
    import redis

    settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": redis_url}}
    cached = around(quick)

    with redis.Redis.from_url(redis_url) as client:
        # Also those of tests before this one.
        before = len(client.client_list())

        for _ in range(100):
            await resolve(cached)

        assert len(client.client_list()) <= before + 20
