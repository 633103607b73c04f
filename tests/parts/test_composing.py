"""`safe_call`, `with_timeout` and `cached_for`: around anything, in any order."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import logging
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import RequestFactory
from django.utils.translation import gettext_lazy as lazy_text

from django_partstream import cached_for, lazy, offload, safe_call, with_timeout
from django_partstream.errors import PartTimeoutError, PlanError
from django_partstream.parts import composing
from django_partstream.parts.composed import Composed, as_composed, resolve
from django_partstream.parts.part import Part
from django_partstream.parts.runner import Scope, resolve_all
from tests.offload.databases import for_ever, open_connections
from tests.settings import TEST_DATABASE

FALLBACK = {"error": "Service unavailable"}
AROUND: dict[str, Callable[[Any], Any]] = {
    "safe": lambda fn: safe_call(fn, fallback=FALLBACK),
    "cached": lambda fn: cached_for(300)(fn),
    "timeout": lambda fn: with_timeout(fn, 30),
}
IMPATIENT = {**AROUND, "timeout": lambda fn: with_timeout(fn, 0.05)}
ORDERS = [*itertools.permutations(AROUND)]


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


async def part_of(fn: Any, **options: Any) -> Any:
    """The part as a client gets it: its data, or the code of its error."""
    scope = Scope(request=RequestFactory().get("/"), max_running=4)
    [resolved] = await resolve_all(
        [Part(name="part", value=lazy(fn, **options))], scope
    )

    if resolved.problem is not None:
        return resolved.problem.code

    return orjson.loads(orjson.dumps(resolved.data))


class Limits:
    """In place of the clock for `with_timeout`: the time is over when the work that it
    is for has begun, however long that took."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits: list[asyncio.Timeout] = []

    def timeout(self, seconds: float) -> asyncio.Timeout:
        self._limits.append(asyncio.timeout(60))

        return self._limits[-1]

    def end(self) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._limits[-1].reschedule(self._loop.time())


class Work:
    """A function that succeeds, raises or takes too long, and counts its calls."""

    def __init__(self, outcome: str, limits: Limits) -> None:
        self.outcome = outcome
        self.limits = limits
        self.calls = 0
        self.may_end = threading.Event()
        #: Tells this one's cache entries from those of others.
        self.name = str(uuid.uuid4())

    def sync(self) -> Callable[[], Any]:
        def work() -> Any:
            self.calls += 1

            if self.outcome == "slow":
                self.limits.end()
                self.may_end.wait(60)

            if self.outcome == "fails":
                raise ConnectionError("the service is down")

            return {"answer": self.calls}

        return work

    def asynchronous(self) -> Callable[[], Any]:
        async def work() -> Any:
            self.calls += 1

            if self.outcome == "slow":
                self.limits.end()
                await asyncio.sleep(60)

            if self.outcome == "fails":
                raise ConnectionError("the service is down")

            return {"answer": self.calls}

        return work


def expected(order: tuple[str, ...], outcome: str) -> tuple[Any, Any, int]:
    """What the first and the second part are, and how often the function ran.

    `order` is from the outside in. Only what is inside the cache is kept, and only a
    `safe_call` outside of the failure sees it.
    """
    outside = order.index
    caught = outcome == "fails" or outside("safe") < outside("timeout")
    kept = outside("cached") < outside("safe")

    if outcome == "succeeds":
        return {"answer": 1}, {"answer": 1}, 1

    if not caught:
        return "timeout", "timeout", 2

    return FALLBACK, FALLBACK, 1 if kept else 2


@pytest.mark.parametrize("order", ORDERS, ids="(".join)
@pytest.mark.parametrize("kind", ["sync", "asynchronous"])
@pytest.mark.parametrize("outcome", ["succeeds", "fails", "slow"])
async def test_all_three_compose_in_any_order(
    order: tuple[str, ...], kind: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits()
    monkeypatch.setattr(composing, "asyncio", limits)
    work = Work(outcome, limits)
    WORKS[work.name] = getattr(work, kind)()
    # By name, for no key could tell the work with its lock from another's.
    called = call_named if kind == "sync" else await_named
    fn: Any = functools.partial(called, work.name)

    for name in reversed(order):
        fn = AROUND[name](fn)

    first = await part_of(fn)
    second = await part_of(fn)
    work.may_end.set()

    assert (first, second, work.calls) == expected(order, outcome)


WORKS: dict[str, Callable[[], Any]] = {}


def call_named(name: str) -> Any:
    return WORKS[name]()


async def await_named(name: str) -> Any:
    return await WORKS[name]()


class Shop:
    """The spellings of the older guide: decorators in a class."""

    @safe_call
    def broken(self, request: Any) -> Any:
        raise ValueError("no")

    @safe_call(fallback=[])
    async def broken_async(self) -> Any:
        raise ValueError("no")

    @with_timeout(30)
    def quick(self, request: Any) -> Any:
        return {"of": type(self).__name__}

    @cached_for(300)
    async def kept(self, request: Any) -> Any:
        return {"for": type(self).__name__}

    @staticmethod
    @safe_call
    def alone() -> Any:
        return "static"

    @classmethod
    @safe_call
    def of_class(cls, request: Any) -> Any:
        return cls.__name__

    bound_before = safe_call(functools.partial(str.upper, "partial"))

    def plain(self, request: Any) -> Any:
        return {"plain": self.__class__.__name__}


async def test_decorated_methods_are_methods() -> None:
    shop = Shop()

    assert await part_of(shop.broken) is None
    assert await part_of(shop.broken_async) == []
    assert await part_of(shop.quick) == {"of": "Shop"}
    assert await part_of(shop.kept) == {"for": "Shop"}
    assert await part_of(shop.alone) == "static"
    assert await part_of(shop.of_class) == "Shop"
    assert await part_of(safe_call(shop.plain)) == {"plain": "Shop"}
    assert await part_of(shop.bound_before) == "PARTIAL"
    assert await part_of(types.MethodType(Shop.quick, shop)) == {"of": "Shop"}
    assert isinstance(Shop.quick, Composed)


def test_what_is_called_by_hand_gives_its_value() -> None:
    shop = Shop()

    assert shop.broken(None) is None
    assert shop.quick(None) == {"of": "Shop"}
    assert cached_for(60)(shop.plain)(None) == {"plain": "Shop"}
    assert async_to_sync(shop.broken_async)() == []
    assert async_to_sync(shop.kept)(None) == {"for": "Shop"}


@pytest.mark.parametrize("compose", [*AROUND.values()], ids=[*AROUND])
async def test_a_lambda_that_returns_a_coroutine_is_awaited(compose: Any) -> None:
    async def answer() -> Any:
        return 42

    fn = compose(lambda request: answer())

    assert await fn(None) == 42
    assert await part_of(fn) == 42


@pytest.mark.parametrize("compose", [*AROUND.values()], ids=[*AROUND])
def test_the_signature_is_that_of_the_function(compose: Any) -> None:
    def nothing() -> int:
        """Says nothing."""
        return 0

    assert str(inspect.signature(compose(nothing))) == "() -> 'int'"
    assert compose(nothing).__name__ == "nothing"
    assert compose(nothing).__doc__ == "Says nothing."

    with pytest.raises(TypeError, match=r"takes \(request, days\)"):
        lazy(compose(lambda request, days: days))


def test_types_are_kept() -> None:
    """For mypy, which reads the tests too."""

    @cached_for(60, vary="public")
    @with_timeout(30)
    @safe_call
    def length(text: str) -> int:
        return len(text)

    found: int = length("four")
    again: int = safe_call(with_timeout(length, 30), fallback=0)("four")

    assert found == again == 4


async def test_arguments_may_be_bound_before_or_after() -> None:
    def totals(days: int, request: Any) -> Any:
        return {"days": days}

    before = functools.partial(safe_call(totals), 7)
    after = safe_call(functools.partial(totals, 7))

    assert await part_of(before) == await part_of(after) == {"days": 7}
    assert as_composed(before) is not None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("compose", [*AROUND.values()], ids=[*AROUND])
async def test_a_queryset_a_generator_and_a_nested_one_are_evaluated_inside(
    compose: Any,
) -> None:
    users = get_user_model().objects
    await users.acreate(username="ann")

    def generated() -> Iterator[Any]:
        yield from users.values_list("username", flat=True)

    async def async_generated() -> Any:
        async for user in users.all():
            yield user.username

    names = [
        lambda: users.values_list("username", flat=True),
        generated,
        async_generated,
        lambda: (name for name in users.values_list("username", flat=True)),
    ]

    for fn in names:
        assert await part_of(compose(fn)) == ["ann"]

    async def lazily() -> Any:
        return {"names": users.values_list("username", flat=True), "of": lazy_text("x")}

    assert await resolve(compose(lazily)) == {"names": ["ann"], "of": "x"}

    async def many() -> Any:
        return [1] * 2_000

    assert await part_of(compose(many)) == [1] * 2_000

    nested = compose(lambda: {"names": users.values("username"), "pair": (1, 2)})
    assert await part_of(nested) == {"names": [{"username": "ann"}], "pair": [1, 2]}
    assert await resolve(nested) == {"names": [{"username": "ann"}], "pair": (1, 2)}


@pytest.mark.django_db(transaction=True)
async def test_a_queryset_that_fails_when_it_is_read_fails_inside_safe_call() -> None:
    users = get_user_model().objects

    def too_deep() -> Any:
        return {"rows": users.extra(where=["no_such_column = 1"]).values("username")}

    assert await part_of(too_deep) == "failed"
    assert await part_of(safe_call(too_deep, fallback=[])) == []


async def test_the_error_is_logged_with_the_functions_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "django_partstream"):
        assert await part_of(Shop().broken) is None

    [record] = caplog.records
    assert record.getMessage() == (
        "safe_call: Shop.broken failed; it gives its fallback"
    )
    assert record.exc_info is not None
    assert "ValueError: no" in caplog.text


async def test_a_cancelled_part_is_cancelled_in_spite_of_safe_call() -> None:
    started = asyncio.Event()
    closed = []

    @safe_call(fallback="never")
    async def work() -> Any:
        started.set()

        try:
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    task = asyncio.create_task(resolve(work))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert closed == [True]


async def test_a_timeout_ends_async_work_and_says_so() -> None:
    closed = []

    @with_timeout(0.05)
    async def work() -> Any:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    with pytest.raises(
        PartTimeoutError, match=r"^This part took longer than 0\.05 s\.$"
    ):
        await work()

    assert closed == [True]
    assert await part_of(work) == "timeout"
    assert await part_of(lambda: work()) == "timeout"


@pytest.mark.skipif(
    TEST_DATABASE == "mariadb", reason="statements run to their end there"
)
@pytest.mark.database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("order", [("safe", "timeout"), ("timeout", "safe", "cached")])
async def test_a_timeout_ends_the_statement_of_sync_work(order: Any) -> None:
    fn: Any = for_ever

    for name in reversed(order):
        fn = IMPATIENT[name](fn)

    assert await part_of(fn) == (FALLBACK if order[0] == "safe" else "timeout")

    async with asyncio.timeout(60):
        while offload.statistics().abandoned or await running_statements():
            await asyncio.sleep(0.002)


async def running_statements() -> set[int]:
    if TEST_DATABASE != "postgresql":
        return set()

    return await asyncio.to_thread(open_connections, state="active")


async def test_a_timeout_error_of_the_functions_own_is_a_failure() -> None:
    @with_timeout(30)
    async def work() -> Any:
        raise TimeoutError

    assert await part_of(work) == "failed"


async def test_a_safe_call_inside_a_timeout_hides_no_timeout() -> None:
    async def work() -> Any:
        await asyncio.sleep(60)

    assert await part_of(with_timeout(safe_call(work), 0.05)) == "timeout"
    assert await part_of(safe_call(with_timeout(work, 0.05), "late")) == "late"
    assert await part_of(safe_call(work), timeout=0.05) == "timeout"


def declaring_error(declare: Callable[[], Any]) -> str:
    with pytest.raises((TypeError, ValueError)) as caught:
        declare()

    # So that a view answers with a problem, see errors.py.
    assert isinstance(caught.value, PlanError)

    return str(caught.value)


def test_what_cannot_be_is_refused_where_it_is_declared() -> None:
    get: Any = Shop().plain
    wrong: Any = {"already": "called"}

    assert declaring_error(lambda: safe_call(wrong)) == (
        "safe_call() needs a function, not dict. Was the function called already? "
        "Write safe_call(self.get_data), not safe_call(self.get_data())."
    )
    nothing: Any = None
    assert declaring_error(lambda: safe_call(nothing)).startswith(
        "safe_call() needs a function, not NoneType."
    )
    assert declaring_error(lambda: safe_call(get, fallback=get)) == (
        "safe_call(fallback=Shop.plain): the fallback is a value, not a function. "
        "Call it, or catch the exception in the part itself."
    )
    made_by_lazy: Any = lazy(get)
    assert declaring_error(lambda: safe_call(made_by_lazy)) == (
        "safe_call() got what lazy() made. lazy comes last: "
        "lazy(safe_call(self.get_data))."
    )
    of_class: Any = classmethod(get)
    assert declaring_error(lambda: safe_call(of_class)) == (
        "safe_call() got a classmethod. Put @classmethod above @safe_call."
    )
    assert declaring_error(lambda: with_timeout(get)) == (
        "with_timeout() needs seconds: with_timeout(self.get_data, 30), or "
        "@with_timeout(30)."
    )
    assert declaring_error(lambda: with_timeout(get, 0)) == (
        "with_timeout(…, 0): expected seconds above zero."
    )
    assert declaring_error(lambda: with_timeout(wrong, 3)).startswith(
        "with_timeout() needs a function, not dict."
    )
    assert declaring_error(lambda: cached_for(get)) == (
        "cached_for() needs seconds: @cached_for(300)."
    )

    seconds: Any
    for seconds in (0, -1, None, float("nan"), float("inf"), True, "300"):
        assert declaring_error(functools.partial(cached_for, seconds)) == (
            f"cached_for({seconds!r}): expected seconds above zero."
        )


def test_a_wrong_vary_is_refused_where_it_is_declared() -> None:
    async def asynchronous(request: Any) -> Any: ...

    def two(request: Any, other: Any) -> Any: ...

    of_two: Any = two

    wrong: Any = "users"

    assert declaring_error(lambda: cached_for(60, vary=wrong)) == (
        "cached_for(vary='users'): expected 'user', 'public', or a function of the "
        "request."
    )
    assert declaring_error(lambda: cached_for(60, vary=asynchronous)).endswith(
        "asynchronous): the function is async; expected a sync one."
    )
    assert declaring_error(lambda: cached_for(60, vary=of_two)).endswith(
        "the function is called with the request, but it takes (request: 'Any', "
        "other: 'Any') -> 'Any'."
    )
