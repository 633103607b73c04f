"""A stream that is cut anywhere goes on anywhere else: PROTOCOL sections 1 and 4."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_partstream import lazy, offload
from tests.app.models import Account
from tests.forms import count
from tests.parts import plans
from tests.parts.merging import Frame, Merged, merge, parse, parse_events
from tests.parts.plans import RUNS, Made
from tests.parts.representations import ALL, follow_pages, get

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"

MADE = (
    Made("meta", plans.immediate, data={"größe": 1}),
    Made("sync", plans.sync, data=[1, 2], delay=0.02),
    Made("fails", plans.failing, error="failed"),
    Made("list", plans.async_generator, data=[*range(40)], delay=0.01),
    Made("more", plans.generator, data=["é", None, {}], delay=0.03),
    Made("last", plans.coroutine, data=None, delay=0.05),
)


@pytest.fixture(autouse=True)
def site(settings: Any, transactional_db: None) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.parts.plans"
    RUNS.clear()
    yield
    plans.PLANS.clear()


def whole() -> tuple[dict[str, Any], dict[str, str]]:
    data = {part.name: part.data for part in MADE if part.error is None}

    return data, {"fails": "failed"}


def closed(merged: Merged) -> set[str]:
    return {*merged.data, *merged.errors}


async def resumed(
    merged: Merged, frames_of: dict[Any, Any], url: str, name: str
) -> Merged:
    """What a client holds, and then reads from its newest cursor on."""
    began = bool(merged.data or merged.errors or merged.items or merged.cursor)

    if began and merged.cursor is None:
        # Nothing is owed; only the `end` was lost.
        return merged

    key = (merged.cursor, name)

    if key not in frames_of:
        RUNS.clear()
        frames_of[key] = await ALL[name](url, merged.cursor)
        assert not closed(merged) & set(RUNS)
        assert set(RUNS.values()) <= {1}

    merged.resume(frames_of[key])

    return merged


@pytest.mark.parametrize(
    ("accept", "parsed"), [(NDJSON, parse), (EVENTS, parse_events)]
)
async def test_cut_after_any_byte_and_resumed_on_any_representation(
    accept: str, parsed: Callable[[bytes], list[Frame]]
) -> None:
    url = plans.plan_url(*MADE)
    _, _, body = await get(url, accept=accept)
    frames_of: dict[Any, Any] = {}
    cut_lists = 0

    for at in range(len(body) + 1):
        frames = parsed(body[:at])
        cut_lists += bool(merge(frames).items)

        for name in ALL:
            merged = await resumed(merge(frames), frames_of, url, name)
            assert (merged.data, merged.errors) == whole(), (at, name)
            assert merged.items == {}

    # The plan is one that can be cut inside of a list.
    assert cut_lists > 0
    # From the cursor of `start` and of every part but the last; and from nothing.
    assert len(frames_of) == len(ALL) * (len(MADE) + 1)


async def test_cut_between_any_two_pages_and_resumed_on_any_representation() -> None:
    url = plans.plan_url(*MADE)
    pages: list[Any] = []
    following: str | None = url + "&chunk_size=2"

    while following:
        _, _, body = await get(following, accept="application/json")
        pages.append(json.loads(body))
        cursor = pages[-1]["cursor"]
        following = f"/planned/?cursor={cursor}" if cursor else None

    assert len(pages) == 3

    for number, name in itertools.product(range(3), ALL):
        held = Merged()

        for page in pages[: number + 1]:
            held.add_page(page)

        merged = await resumed(held, {}, url, name)
        assert (merged.data, merged.errors) == whole()


async def test_cut_between_any_two_messages_of_a_subscription() -> None:
    url = plans.plan_url(*MADE)
    frames = (await ALL["subscription"](url, None)).frames

    frames_of: dict[Any, Any] = {}

    for number, name in itertools.product(range(len(frames)), ALL):
        merged = await resumed(merge(frames[:number]), frames_of, url, name)
        assert (merged.data, merged.errors) == whole()


@pytest.mark.parametrize("accept", [NDJSON, EVENTS])
async def test_a_client_that_leaves_gets_the_rest_later_and_nothing_twice(
    accept: str,
) -> None:
    """The server is cut here, not only the body."""
    url = plans.plan_url(*MADE)
    parsed = parse if accept == NDJSON else parse_events
    _, _, body = await get(url, accept=accept)
    places = random.Random(accept).sample(range(1, len(body)), count(12, 300))

    for at, name in zip(places, itertools.cycle(ALL)):
        RUNS.clear()
        _, _, received = await get(url, accept=accept, leave_after=at)
        merged = merge(parsed(received))
        had = closed(merged)
        await until_threads_rest()
        first = Counter(RUNS)

        if merged.cursor is None and had:
            continue

        merged.resume(await ALL[name](url, merged.cursor))

        assert (merged.data, merged.errors) == whole()
        again = RUNS - first
        assert not had & set(again)
        assert set(again.values()) <= {1}


async def until_threads_rest() -> None:
    """A call that nobody waits for any more may have been taken, and not have begun."""
    async with asyncio.timeout(60):
        while (now := offload.statistics()).running or now.abandoned:
            await asyncio.sleep(0.001)


async def test_a_client_that_leaves_ends_the_lists_that_it_was_sent() -> None:
    """Their generators are closed without the collector, their threads are free."""
    closed: list[str] = []

    def rows(part: Made) -> Any:
        def make() -> Iterator[int]:
            try:
                for account in itertools.cycle(Account.objects.iterator()):
                    yield account.pk
            finally:
                closed.append(part.name)

        return lazy(make)

    def async_rows(part: Made) -> Any:
        async def make() -> AsyncIterator[int]:
            try:
                for number in itertools.count():
                    yield number
            finally:
                closed.append(part.name)

        return lazy(make)

    await offload.run_sync(Account.objects.create, name="a")
    names = [f"{kind}{number}" for kind in ("sync", "async") for number in range(3)]
    url = plans.plan_url(
        *(Made(name, rows if name[0] == "s" else async_rows) for name in names)
    )
    before = asyncio.all_tasks()
    gc.disable()

    def has_begun(body: bytearray) -> bool:
        return all(f'"items","name":"{name}"'.encode() in body for name in names)

    try:
        for _ in range(3):
            closed.clear()
            _, _, body = await get(url, accept=NDJSON, leave_when=has_begun)
            assert {*merge(parse(body)).items} == {*names}

            async with asyncio.timeout(60):
                while sorted(closed) != sorted(names):
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()

    assert asyncio.all_tasks() == before


async def test_a_list_that_was_cut_begins_again() -> None:
    url = plans.plan_url(Made("list", plans.async_generator, data=[*range(9)]))
    _, _, body = await get(url, accept=NDJSON)
    start, items, *_ = parse(body)
    held = merge([start, items])
    assert (items["seq"], items["items"][0]) == (0, 0)

    _, _, body = await get(f"/planned/?cursor={held.cursor}", accept=NDJSON)

    again = parse(body)
    assert again[0]["parts"] == ["list"]
    assert (again[1]["seq"], again[1]["items"][0]) == (0, 0)
    held.resume(merge(again))
    assert held.data == {"list": [*range(9)]}


async def test_a_part_that_failed_is_asked_for_again_by_its_name() -> None:
    broken = [True]

    def flaky(part: Made) -> Any:
        def make() -> int:
            if broken:
                raise RuntimeError("no")

            return 7

        return lazy(make)

    url = plans.plan_url(*MADE, Made("flaky", flaky))

    for name, read in ALL.items():
        broken[:] = [True]
        merged = await read(url, None)
        assert merged.errors == {"fails": "failed", "flaky": "failed"}, name
        broken.clear()
        RUNS.clear()

        merged.resume(await read(f"{url}&parts=flaky", None))

        assert merged.errors == {"fails": "failed"}
        assert merged.data["flaky"] == 7
        assert not RUNS


async def test_a_cursor_brings_back_the_first_requests_query() -> None:
    first = plans.plan_url(*MADE, plan="first") + "&days=7&days=8&parts=meta,last&q=%26"
    plans.plan_url(Made("other", plans.immediate), plan="other")

    _, _, body = await get(first, accept=NDJSON)
    cursor = parse(body)[0]["cursor"]

    for name, read in ALL.items():
        # What it says itself does not count beside that.
        merged = await read("/planned/?plan=other&parts=other", cursor)
        assert merged.data == {"meta": {"größe": 1}, "last": None}, name


async def test_parts_that_were_asked_for_by_name_may_be_gone_too() -> None:
    url = plans.plan_url(*MADE) + "&parts=meta,sync,last"
    _, _, body = await get(url, accept=NDJSON)
    cursor = parse(body)[0]["cursor"]
    plans.plan_url(*MADE[:1], *MADE[2:])

    for name, read in ALL.items():
        merged = await read(url, cursor)
        assert merged.errors == {"sync": "gone"}, name
        assert merged.data == {"meta": {"größe": 1}, "last": None}


async def test_names_too_long_for_a_cursor_are_owed_all_the_same() -> None:
    # Of little that could be compressed.
    letters = random.Random(7)
    names = [
        f"{number}{letters.getrandbits(380):x}"[:100].ljust(100, "x")
        for number in range(100)
    ]
    url = plans.plan_url(*(Made(name, plans.immediate, data=name) for name in names))
    uncut = {name: name for name in names}

    merged = await follow_pages(url, None, 7)
    assert merged.data == uncut

    _, _, body = await get(url, accept=NDJSON)
    frames = parse(body)
    held = merge(frames[:50])
    assert held.cursor
    assert len(held.cursor) <= 4096

    for read in ALL.values():
        merged = merge(frames[:50])
        rest = await read(url, held.cursor)
        assert not set(rest.data) & set(merged.data)
        merged.resume(rest)
        assert merged.data == uncut


async def test_a_key_that_was_rotated_is_good_as_long_as_it_is_a_fallback(
    settings: Any,
) -> None:
    url = plans.plan_url(*MADE)
    _, _, body = await get(url, accept=NDJSON)
    cursor = parse(body)[0]["cursor"]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a-new-key"

    for read in ALL.values():
        merged = await read(url, cursor)
        assert (merged.data, merged.errors) == whole()

    settings.SECRET_KEY_FALLBACKS = []
    status, _, body = await get(f"/planned/?cursor={cursor}", accept=NDJSON)

    assert (status, json.loads(body)["code"]) == (400, "cursor_invalid")


names = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)


@settings(
    max_examples=count(40, 1_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    first=names.filter(bool),
    later=st.lists(names, min_size=1, max_size=5),
    size=st.integers(1, 4),
)
async def test_a_list_of_parts_that_changes_neither_skips_nor_repeats(
    first: list[str], later: list[list[str]], size: int
) -> None:
    """Page by page, and at the end as a stream, each with another list."""

    def declare(names: list[str]) -> str:
        return plans.plan_url(
            *(Made(name, plans.sync, data=name.upper()) for name in names)
        )

    url: str | None = f"{declare(first)}&chunk_size={size}"
    owed = list(first)
    RUNS.clear()
    told: Counter[str] = Counter()

    for names in [first, *later]:
        if url is None:
            break

        declare(names)
        _, _, body = await get(url, accept="application/json")
        page = json.loads(body)
        gone = [name for name in owed if name not in names]
        there = [name for name in names if name in owed]
        held = Merged()
        held.add_page(page)

        assert held.errors == dict.fromkeys(gone, "gone")
        assert list(held.data) == there[:size]
        told.update([*held.data, *held.errors])
        owed = there[size:]
        cursor = page["cursor"]
        url = cursor and f"/planned/?cursor={cursor}&chunk_size={size}"
        assert bool(cursor) == bool(owed)

    if url is not None:
        declare(later[-1])
        _, _, body = await get(url, accept=NDJSON)
        held = merge(parse(body))
        told.update([*held.data, *held.errors])

    assert told == Counter(first)
    assert set(RUNS.values()) <= {1}
