"""Lists that go out as they are made: PROTOCOL section 1, `items`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import Prefetch
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers

from django_partstream import lazy, offload
from tests.app.models import Account, Contract
from tests.forms import PATIENCE
from tests.parts.merging import merge
from tests.parts.streams import all_frames, frames_of, opened


class ContractSerializer(serializers.ModelSerializer[Contract]):
    account = serializers.CharField(source="account.name")

    class Meta:
        model = Contract
        fields = ["number", "account"]


class AccountSerializer(serializers.ModelSerializer[Account]):
    contracts: Any = serializers.SlugRelatedField(
        "number", many=True, read_only=True, source="contract_set"
    )

    class Meta:
        model = Account
        fields = ["name", "contracts"]


def counting(until: int) -> Iterator[int]:
    yield from range(until)


async def counting_async(until: int) -> AsyncIterator[int]:
    for number in range(until):
        yield number


async def returning_generator() -> Any:
    return counting(3)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda: counting(3), id="generator"),
        pytest.param(lambda: counting_async(3), id="async generator"),
        pytest.param(lambda: lazy(lambda: counting(3)), id="function"),
        pytest.param(lambda: lazy(lambda: counting_async(3)), id="of an async one"),
        pytest.param(lambda: lazy(returning_generator), id="coroutine"),
        pytest.param(lambda: lazy(lambda: returning_generator()), id="its caller"),
        pytest.param(lambda: lazy(lambda: iter([0, 1, 2])), id="iterator"),
        pytest.param(lambda: map(int, "012"), id="map"),
    ],
)
async def test_an_iterator_goes_out_as_items_and_is_closed_by_its_count(
    value: Any,
) -> None:
    start, *items, part, end = await all_frames(("numbers", value()))

    assert start["parts"] == ["numbers"]
    assert {frame["type"] for frame in items} == {"items"}
    assert [frame["seq"] for frame in items] == list(range(len(items)))
    assert list(itertools.chain(*(frame["items"] for frame in items))) == [0, 1, 2]
    assert part["type"] == "part"
    assert part["count"] == 3
    assert "data" not in part
    assert part["cursor"] is None
    assert (end["ok"], end["failed"]) == (1, 0)


async def test_generator_functions_are_given_to_lazy_as_they_are() -> None:
    def squares(request: Any) -> Iterator[int]:
        yield from (number * number for number in range(4))

    async def cubes() -> AsyncIterator[int]:
        for number in range(4):
            yield number**3

    merged = merge(await all_frames(("squares", lazy(squares)), ("cubes", lazy(cubes))))

    assert merged.data == {"squares": [0, 1, 4, 9], "cubes": [0, 1, 8, 27]}


async def test_an_empty_list_is_closed_without_items() -> None:
    _, part, _ = await all_frames(("none", lazy(lambda: iter(()))))

    assert part["count"] == 0
    assert merge([part]).data == {"none": []}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"a": 1}, {"a": 1}),
        ("text", "text"),
        (b"bytes", "bytes"),
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        ({7}, [7]),
    ],
)
async def test_containers_are_data(value: Any, data: Any) -> None:
    frames = await all_frames(("now", value), ("later", lazy(lambda: value)))

    assert [frame["data"] for frame in frames if frame["type"] == "part"] == [data] * 2


async def test_the_first_item_of_a_generator_leaves_before_the_second_is_made() -> None:
    seen = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert seen.wait(PATIENCE)
        yield 2

    async with opened(("numbers", lazy(slow))) as frames:
        async for frame in frames:
            if frame["type"] == "items" and 1 in frame["items"]:
                assert frame["items"] == [1]
                seen.set()

    assert seen.is_set()


async def test_what_is_ready_leaves_together_when_a_list_waits() -> None:
    """Also the last item before the wait, however many came before it."""
    seen = asyncio.Event()
    seen_in_thread = threading.Event()

    def burst() -> Iterator[int]:
        yield from range(500)
        assert seen_in_thread.wait(PATIENCE)
        yield 500

    async def burst_async() -> AsyncIterator[int]:
        for number in range(500):
            yield number

        await seen.wait()
        yield 500

    async with opened(("sync", lazy(burst)), ("async", lazy(burst_async))) as frames:
        found: dict[str, list[list[int]]] = {"sync": [], "async": []}

        async for frame in frames:
            if frame["type"] == "items":
                found[frame["name"]].append(frame["items"])

                if 499 in frame["items"]:
                    (seen if frame["name"] == "async" else seen_in_thread).set()

    for batches in found.values():
        assert list(itertools.chain(*batches)) == list(range(501))
        assert len(batches) <= 50


async def test_the_first_item_of_an_async_list_that_never_waits_leaves_early() -> None:
    made = 0

    async def busy() -> AsyncIterator[int]:
        nonlocal made

        for made in range(1_000):
            until = time.perf_counter() + 0.001

            while time.perf_counter() < until:
                pass

            yield made

    async with opened(("busy", lazy(busy))) as frames:
        async for frame in frames:
            if frame["type"] == "items":
                break

    assert frame["items"][0] == 0
    assert made < 50


async def test_ready_items_leave_in_batches_of_bounded_size() -> None:
    for value in lazy(lambda: counting(20_000)), lazy(lambda: counting_async(20_000)):
        frames = await all_frames(("numbers", value))
        batches = [frame["items"] for frame in frames if frame["type"] == "items"]

        assert merge(frames).data["numbers"] == list(range(20_000))
        assert max(map(len, batches)) <= 1_000
        # Ten times less than one send for each.
        assert len(batches) <= 2_000


async def test_batches_are_bounded_in_bytes_too() -> None:
    text = "x" * 1_000

    async def texts() -> AsyncIterator[str]:
        for _ in range(1_000):
            yield text

    for value in lazy(lambda: iter([text] * 1_000)), lazy(texts):
        frames = await all_frames(("texts", value))
        batches = [frame["items"] for frame in frames if frame["type"] == "items"]

        assert merge(frames).data["texts"] == [text] * 1_000
        assert max(map(len, batches)) * 1_000 <= 64 * 1024 + 1_000


async def test_large_items_are_sent_one_by_one() -> None:
    async def large() -> AsyncIterator[str]:
        for _ in range(5):
            yield "x" * 200_000

    frames = await all_frames(("large", lazy(large)))

    assert [len(one["items"]) for one in frames if one["type"] == "items"] == [1] * 5


@pytest.mark.parametrize("at", [0, 1, 5_000])
async def test_a_list_that_fails_is_an_error_and_its_items_are_discarded(
    at: int, caplog: pytest.LogCaptureFixture
) -> None:
    def failing() -> Iterator[int]:
        yield from range(at)
        raise RuntimeError("password=hunter2")

    async def failing_async() -> AsyncIterator[int]:
        for number in range(at):
            yield number

        raise RuntimeError("password=hunter2")

    frames = await all_frames(
        ("sync", lazy(failing)),
        ("async", lazy(failing_async)),
        ("good", lazy(lambda: 7)),
    )
    merged = merge(frames)

    assert merged.data == {"good": 7}
    assert merged.items == {}
    assert merged.errors == {"sync": "failed", "async": "failed"}
    assert (frames[-1]["ok"], frames[-1]["failed"]) == (1, 2)
    assert "hunter2" not in str(frames)
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_item_that_cannot_be_encoded_fails_its_list(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    def odd() -> Iterator[Any]:
        yield from range(7)
        yield {"value": object()}

    async def odd_async() -> AsyncIterator[Any]:
        for item in odd():
            yield item

    value = lazy(odd if kind == "sync" else odd_async)
    merged = merge(await all_frames(("odd", value)))

    assert merged.errors == {"odd": "unencodable"}
    assert "items: Cannot encode a value of type 'object' at '/" in caplog.text


async def test_an_async_item_may_hold_what_only_a_thread_can_encode() -> None:
    async def items() -> AsyncIterator[Any]:
        yield {"plain": 1}
        yield {"thread": threading_local_name()}

    def threading_local_name() -> Iterator[str]:
        yield threading.current_thread().name

    merged = merge(await all_frames(("items", lazy(items))))

    assert merged.data["items"][0] == {"plain": 1}
    assert merged.data["items"][1]["thread"] != [threading.current_thread().name]


async def test_what_only_a_thread_can_encode_waits_for_it_and_is_whole() -> None:
    """The loop looks at items whose thread waits, and leaves these alone."""
    looked = threading.Event()
    seen = threading.Event()

    def items() -> Iterator[Any]:
        # Groups grow, so that the next items wait for others.
        yield from range(700)
        yield {"squares": (number * number for number in range(4))}
        yield "behind"
        looked.wait(0.1)
        yield "next"
        # From here on each leaves at once.
        yield "last"
        assert seen.wait(PATIENCE)

    found: list[Any] = []

    async with opened(("items", lazy(items))) as frames:
        async for frame in frames:
            if frame["type"] == "items":
                found += frame["items"]

                if "last" in found:
                    seen.set()

    assert found == [*range(700), {"squares": [0, 1, 4, 9]}, "behind", "next", "last"]


async def test_a_list_never_keeps_the_others_waiting() -> None:
    async def endless_async() -> AsyncIterator[int]:
        for number in itertools.count():
            yield number

    async def quick() -> str:
        return "here"

    after: list[str] = []
    on_the_loop, in_threads = ("quick", "short"), ("quick thread", "short thread")
    begun = 0

    async with opened(
        ("endless", lazy(itertools.count)),
        ("endless too", lazy(endless_async)),
        ("quick", lazy(quick)),
        ("short", lazy(lambda: counting_async(10))),
        ("quick thread", lazy(lambda: "here")),
        ("short thread", lazy(lambda: counting(10))),
    ) as frames:
        async for frame in frames:
            after.append(frame.get("name", frame["type"]))

            if not begun and set(on_the_loop) <= set(after):
                begun = len(after)

            # When a thread has its turn is for the system to say.
            if begun and set(in_threads) <= set(after):
                break

    # Each in its turn, and a turn is one batch.
    assert 0 < begun < 100


async def test_a_list_waits_for_a_reader_that_does_not_read() -> None:
    made = [0, 0]

    def rows() -> Iterator[str]:
        for made[0] in itertools.count():
            yield "x" * 1_000

    async def rows_async() -> AsyncIterator[str]:
        for made[1] in itertools.count():
            yield "x" * 1_000

    async with opened(("rows", lazy(rows)), ("more", lazy(rows_async))) as frames:
        assert (await anext(frames))["type"] == "start"
        before = None

        while made != before or 0 in made:
            before = list(made)
            await asyncio.sleep(0.2)

        # A few batches of 64 KB, and items that wait to be encoded.
        assert made[0] < 6 * 66
        assert made[1] < 8 * 66


async def test_parts_wait_for_a_reader_that_does_not_read() -> None:
    made: list[int] = []

    def part(number: int) -> Any:
        def make() -> str:
            made.append(number)
            return "x" * 100_000

        return lazy(make)

    parts = [(str(number), part(number)) for number in range(50)]

    async with opened(*parts, max_running=3) as frames:
        assert (await anext(frames))["type"] == "start"
        before = None

        while made != before or len(made) < 3:
            before = list(made)
            await asyncio.sleep(0.1)

        # Whose thread comes first is for the system to say.
        assert sorted(made) == [0, 1, 2]
        rest = [frame async for frame in frames]

    assert len(made) == 50
    assert rest[-1]["ok"] == 50


@pytest.mark.parametrize("read", [1, 2, 4])
async def test_closing_the_stream_closes_its_generators_where_they_run(
    read: int,
) -> None:
    closed: list[tuple[str, str]] = []

    def rows() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(("sync", threading.current_thread().name))

    async def rows_async() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
        finally:
            closed.append(("async", threading.current_thread().name))

    gc.disable()

    try:
        producer = frames_of(("rows", lazy(rows)), ("more", lazy(rows_async)))

        # Both have begun when they have said something.
        names: set[Any] = set()

        while len(names) < 2 or read > 0:
            frame = await anext(producer)
            names |= {getattr(frame, "name", None)} - {None}
            read -= 1

        await producer.aclose()
    finally:
        gc.enable()

    # A thread is never cut off, but notices before its next item.
    async with asyncio.timeout(PATIENCE):
        while len(closed) < 2:
            await asyncio.sleep(0.01)

    found = dict(closed)
    assert found["async"] == threading.current_thread().name
    assert found["sync"].startswith("partstream")
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.django_db
def test_in_a_transaction_a_list_lets_the_other_parts_have_the_thread() -> None:
    begun = threading.Event()

    def endless() -> Iterator[int]:
        begun.set()
        yield from itertools.count()

    names: list[str] = []
    before = 0

    async def quick() -> int:
        nonlocal before
        # How soon it hears of it is for the system to say.
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        before = len(names)
        return int(await offload.run_here(Account.objects.count))

    async def run() -> None:
        parts = ("endless", lazy(endless)), ("quick", lazy(quick))

        async with opened(*parts, in_transaction=True) as frames:
            while "quick" not in names:
                names.append((await anext(frames)).get("name", ""))

    async_to_sync(run)()

    assert "endless" in names
    assert len(names) - before < 100


async def test_a_list_that_takes_too_long_is_an_error() -> None:
    async def slow() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)
        yield 2

    merged = merge(await all_frames(("slow", lazy(slow, timeout=0.1))))

    assert merged.errors == {"slow": "timeout"}
    assert merged.items == {}


async def test_a_list_that_the_deadline_cuts_is_still_owed() -> None:
    def endless() -> Iterator[int]:
        for number in itertools.count():
            yield number
            time.sleep(0.001)

    frames = await all_frames(("endless", lazy(endless)), ("one", 1), deadline=0.3)

    assert frames[-1]["reason"] == "deadline"
    assert frames[-1]["cursor"] == "endless"
    assert (frames[-1]["ok"], frames[-1]["failed"]) == (1, 0)


@pytest.fixture
def contracts(transactional_db: None) -> None:
    accounts = [Account(name=f"account {number}") for number in range(30)]
    Account.objects.bulk_create(accounts)
    Contract.objects.bulk_create(
        Contract(
            number=f"{number:05d}",
            year=2000 + number % 30,
            account=accounts[number % 30] if number % 7 else None,
        )
        for number in range(2_500)
    )


def rows() -> Any:
    return Contract.objects.order_by("number").values("number", "year", "account__name")


@pytest.mark.database
async def test_query_sets_go_out_as_evaluated(contracts: None) -> None:
    def evaluated() -> Any:
        found = rows()[:1_500]
        len(found)
        return found

    def in_year(year: int) -> Any:
        return Contract.objects.order_by().filter(year=year).values("number")

    merged = merge(
        await all_frames(
            ("now", rows()),
            ("lazy", lazy(rows)),
            ("flat", lazy(lambda: rows().values_list("number", flat=True))),
            ("sliced", lazy(lambda: rows()[100:1_300])),
            ("reversed", lazy(lambda: rows().reverse())),
            ("union", lazy(lambda: in_year(2001).union(in_year(2002)))),
            ("evaluated", lazy(evaluated)),
            ("none", lazy(lambda: rows().none())),
        )
    )

    expected = await offload.run_sync(lambda: [dict(row) for row in rows()])
    assert merged.errors == {}
    assert merged.data["now"] == merged.data["lazy"] == expected
    assert merged.data["flat"] == [row["number"] for row in expected]
    assert merged.data["sliced"] == expected[100:1_300]
    assert merged.data["reversed"] == expected[::-1]
    assert len(merged.data["union"]) == 168
    assert merged.data["evaluated"] == expected[:1_500]
    assert merged.data["none"] == []


@pytest.mark.database
async def test_a_serializer_gets_the_instances_batch_by_batch(contracts: None) -> None:
    plain = Contract.objects.exclude(account=None).order_by("number")
    with_account = plain.select_related("account")

    async def instances() -> AsyncIterator[Contract]:
        for contract in await offload.run_sync(list, with_account.all()):
            yield contract

    def whole() -> list[dict[str, str]]:
        data = ContractSerializer(with_account, many=True).data
        return [dict(row) for row in data]

    sql = plain[:1_100].query.sql_with_params()

    def serialized(fn: Any) -> Any:
        return lazy(fn, serializer=ContractSerializer)

    merged = merge(
        await all_frames(
            ("query set", serialized(with_account.all)),
            ("iterator", serialized(lambda: with_account.iterator(chunk_size=100))),
            ("raw", serialized(lambda: Contract.objects.raw(*sql))),
            ("async", serialized(instances)),
            ("list", serialized(lambda: list(with_account))),
            ("one", serialized(with_account.first)),
        )
    )

    expected = await offload.run_sync(whole)
    assert len(expected) == 2_142
    assert merged.errors == {}
    for name in ("query set", "iterator", "async", "list"):
        assert merged.data[name] == expected, name

    assert merged.data["raw"] == expected[:1_100]
    assert merged.data["one"] == expected[0]


@pytest.mark.django_db
def test_prefetched_relations_take_one_query_a_chunk() -> None:
    """In a transaction the queries are on the connection that can be counted."""
    Account.objects.bulk_create(
        Account(name=f"account {number:04d}") for number in range(1_500)
    )
    accounts = Account.objects.order_by("name")
    Contract.objects.bulk_create(
        Contract(number=f"{index}", year=2000, account=account)
        for index, account in enumerate(accounts)
    )
    ordered = Prefetch("contract_set", queryset=Contract.objects.order_by("number"))
    value = lazy(accounts.prefetch_related(ordered).all, serializer=AccountSerializer)

    with CaptureQueriesContext(connection) as queries:
        merged = merge(
            async_to_sync(all_frames)(("accounts", value), in_transaction=True)
        )

    assert len(merged.data["accounts"]) == 1_500
    assert merged.data["accounts"][7] == {"name": "account 0007", "contracts": ["7"]}
    # Of the accounts there are two chunks.
    related = [query for query in queries if "app_contract" in query["sql"]]
    assert len(related) == 2


async def test_instances_without_a_serializer_are_refused_with_the_mend(
    contracts: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        frames = await all_frames(
            ("all", lazy(Contract.objects.all)),
            ("iterator", lazy(lambda: Contract.objects.iterator())),
        )

    merged = merge(frames)
    assert merged.errors == {"all": "unencodable", "iterator": "unencodable"}
    assert [frame["type"] for frame in frames] == ["start", "error", "error", "end"]
    assert "After 0 items: Cannot encode a value of type 'app.Contract'" in caplog.text
    assert "Name a serializer with lazy(..., serializer=...)" in caplog.text


@pytest.mark.django_db
def test_in_a_transaction_lists_see_its_rows(client: Any) -> None:
    Account.objects.create(name="uncommitted")
    assert transaction.get_connection().in_atomic_block

    merged = merge(
        async_to_sync(all_frames)(
            ("rows", Account.objects.values_list("name", flat=True)),
            ("more", lazy(lambda: Account.objects.values("name").iterator())),
            in_transaction=True,
        )
    )

    assert merged.data == {"rows": ["uncommitted"], "more": [{"name": "uncommitted"}]}


async def test_value_that_is_awaited_and_turns_out_to_be_a_list_is_sent_whole() -> None:
    async def slowly() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0.01)
            yield number

    async def later() -> AsyncIterator[int]:
        return slowly()

    found = merge(await all_frames(("later", later()), ("plain", 1)))

    assert found.data == {"later": [0, 1, 2], "plain": 1}
