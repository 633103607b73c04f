"""One view comes to the same in all of its representations: PROTOCOL, first lines."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.app.models import Account
from tests.forms import count
from tests.parts import plans
from tests.parts.merging import Merged, merge, parse
from tests.parts.plans import Made
from tests.parts.representations import ALL, follow_pages, get

ROWS = [{"name": f"account {number}", "tenant": "ours"} for number in range(1_200)]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abü\u2028", max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
lengths = st.sampled_from([0, 1, 2, 3, 50, 999, 1_000, 1_001, 1_200])


@st.composite
def lists(draw: Any) -> list[Any]:
    """Lists of the lengths where batches begin, their items of any size."""
    items = draw(st.lists(values, min_size=1, max_size=4))
    length = draw(lengths)

    if draw(st.integers(0, 9)) == 0:
        # A single item above the size of a batch.
        items.append("x" * 70_000)
        length = min(length, 10)

    return list(itertools.islice(itertools.cycle(items), length))


@st.composite
def parts(draw: Any, name: str) -> Made:
    kind = draw(st.sampled_from(KINDS))
    delay = draw(st.sampled_from([0.0, 0.0, 0.001, 0.005]))

    if kind in ERRORS:
        data = draw(lists()) if kind is plans.breaking_generator else None
        return Made(name, kind, data=data, error=ERRORS[kind], delay=delay)

    if kind in OF_ROWS:
        return Made(name, kind, data=ROWS[: draw(lengths)], delay=delay)

    data = draw(lists() if kind in OF_ITEMS else values)

    return Made(name, kind, data=data, delay=delay)


OF_DATA = [plans.immediate, plans.sync, plans.coroutine, plans.in_request_thread]
OF_ITEMS = [plans.generator, plans.async_generator, plans.immediate_generator]
OF_ROWS = [plans.rows, plans.lazy_rows, plans.instances, plans.async_instances]
ERRORS: dict[Any, str] = {
    plans.failing: "failed",
    plans.unencodable: "unencodable",
    plans.too_slow: "timeout",
    plans.breaking_generator: "failed",
    plans.endless_generator: "timeout",
}
KINDS = [*OF_DATA, *OF_ITEMS, *OF_ROWS, *ERRORS]

some_plans = st.lists(
    st.sampled_from("abcdef"), min_size=0, max_size=6, unique=True
).flatmap(lambda names: st.tuples(*(parts(name) for name in names)))


def exact(data: Any) -> str:
    """Equal only where the JSON is: for Python, True is 1 and 1 is 1.0."""
    return json.dumps(data, sort_keys=True)


@pytest.fixture
def site(settings: Any, transactional_db: None) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.parts.plans"
    Account.objects.bulk_create(Account(**row) for row in ROWS)
    yield
    plans.PLANS.clear()


def expected(made: tuple[Made, ...]) -> tuple[str, dict[str, str]]:
    data = {part.name: part.data for part in made if part.error is None}

    return exact(data), {part.name: part.error for part in made if part.error}


def held(merged: Merged) -> tuple[str, dict[str, str]]:
    assert merged.items == {}
    assert merged.cursor is None

    return exact(merged.data), merged.errors


@settings(
    max_examples=count(8, 400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=some_plans)
@example(made=())
@example(made=tuple(Made(name, plans.sync, data=name) for name in "abc"))
async def test_all_representations_come_to_the_same(
    site: None, made: tuple[Made, ...]
) -> None:
    url = plans.plan_url(*made)

    merged = {name: await read(url, None) for name, read in ALL.items()}
    merged |= {
        f"pages of {size}": await follow_pages(url, None, size)
        for size in range(1, len(made) + 2)
    }

    for name, one in merged.items():
        assert held(one) == expected(made), name

        if one.end is not None:
            assert one.end["reason"] == "complete"
            assert one.end["failed"] == len(one.errors)
            assert one.end["ok"] == len(one.data)


@settings(
    max_examples=count(4, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=some_plans, gone=st.sets(st.sampled_from("abcdef"), min_size=1))
async def test_parts_that_are_gone_are_told_alike(
    site: None, made: tuple[Made, ...], gone: set[str]
) -> None:
    url = plans.plan_url(*made)
    _, _, body = await get(url, accept="application/x-ndjson")
    cursor = merge(parse(body)[:1]).cursor
    left = tuple(part for part in made if part.name not in gone)
    plans.plan_url(*left)

    if cursor is None:
        return

    for name, read in ALL.items():
        one = await read(url, cursor)
        data, errors = expected(left)
        errors |= {part.name: "gone" for part in made if part.name in gone}
        assert held(one) == (data, errors), name


async def test_all_representations_at_once_do_not_disturb_each_other(
    site: None,
) -> None:
    made = tuple(
        Made(f"{kind.__name__} {number}", kind, data=ROWS, delay=0.005)
        for kind in (*OF_ITEMS, *OF_ROWS, *OF_DATA)
        for number in range(2)
    )
    url = plans.plan_url(*made)

    found = await asyncio.gather(
        *(read(url, None) for read in ALL.values()),
        *(read(url, None) for read in ALL.values()),
    )

    for one in found:
        assert held(one) == expected(made)
