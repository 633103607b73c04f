"""What the value of a part may be, and what is said of those that it may not."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.response import Response

from django_partstream import lazy
from tests.parts.merging import merge
from tests.parts.streams import all_frames, opened


class NameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()


async def refused(value: Any, caplog: pytest.LogCaptureFixture) -> str:
    """What is logged of a value that cannot be sent."""
    caplog.clear()
    frames = await all_frames(("part", value), ("other", 1))
    merged = merge(frames)

    assert merged.errors == {"part": "unencodable"}
    assert merged.data == {"other": 1}
    assert (frames[-1]["ok"], frames[-1]["failed"]) == (1, 1)
    (record,) = caplog.records

    return record.getMessage()


async def answer() -> int:
    return 7


NO_RESPONSE = (
    "A part has no status, no headers and no cookies; return the data alone, and set "
    "those in the view."
)
REFUSED = {
    "lazy": (
        lambda: {"orders": lazy(lambda: 1)},
        (
            "'Lazy' at '/orders': lazy(...) makes a part, "
            "and no value inside of one. Give it a name of its own in get_parts()."
        ),
    ),
    "coroutine": (
        lambda: [1, answer()],
        (
            "'coroutine' at '/1': a coroutine is not what "
            "it returns. Write `await` before it, in an async function."
        ),
    ),
    "method": (
        lambda: {"count": Group.objects.count},
        ("'method' at '/count': a function is not what it returns. Call it."),
    ),
    "serializer": (
        lambda: {"group": NameSerializer({"name": "a"})},
        (
            "'NameSerializer' at '/group': a serializer is "
            "not its data. Write `.data` behind it."
        ),
    ),
    "model": (
        lambda: Group(name="a"),
        (
            "'auth.Group': a model instance is never "
            "dumped, because every column would leak. Name a serializer with lazy(..., "
            "serializer=...), or return .values(...)."
        ),
    ),
    "response": (
        lambda: Response({"a": 1}),
        f"The part's value is a Response. {NO_RESPONSE}",
    ),
    "django response": (
        lambda: HttpResponse(b"a"),
        f"The part's value is a HttpResponse. {NO_RESPONSE}",
    ),
}


def logged(said: str) -> str:
    cannot = "" if said.startswith("The part") else "Cannot encode a value of type "

    return f"part 'part': {cannot}{said}"


@pytest.mark.parametrize("name", REFUSED)
async def test_a_value_that_cannot_be_sent_is_refused_with_the_mend(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, said = REFUSED[name]

    assert await refused(make(), caplog) == logged(said)
    assert await refused(lazy(lambda: make()), caplog) == logged(said)


async def test_a_lazy_that_gives_a_lazy_is_refused_with_the_mend(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await refused(lazy(lambda: lazy(lambda: 1)), caplog) == (
        "part 'part': The part's function returned lazy(...). Return the value itself: "
        "the function is called when the part is sent."
    )


async def test_a_serializer_is_sent_as_its_data() -> None:
    one = NameSerializer({"name": "a"})
    many = NameSerializer([{"name": "a"}, {"name": "b"}], many=True)

    merged = merge(
        await all_frames(
            ("one", one),
            ("many", many),
            ("lazy", lazy(lambda: many)),
            ("given", lazy(lambda: iter([{"name": "c"}]), serializer=NameSerializer)),
            ("mapping", lazy(lambda: {"name": "d"}, serializer=NameSerializer)),
        )
    )

    both = [{"name": "a"}, {"name": "b"}]
    assert merged.data == {
        "one": {"name": "a"},
        "many": both,
        "lazy": both,
        "given": [{"name": "c"}],
        "mapping": {"name": "d"},
    }


async def test_values_that_are_there_leave_before_any_other() -> None:
    made = [("quick", lazy(lambda: 1)), ("now", 2), ("rows", iter([3])), ("large", "")]
    made[3] = ("large", ["x" * 1_000] * 2_000)

    frames = await all_frames(*made)

    assert [frame.get("name") for frame in frames[1:3]] == ["now", "large"]


async def test_a_part_that_exits_ends_itself_only() -> None:
    async def exits() -> None:
        sys.exit("no")

    merged = merge(
        await all_frames(
            ("sync", lazy(lambda: sys.exit("no"))), ("async", lazy(exits)), ("good", 1)
        )
    )

    assert merged.errors == {"sync": "failed", "async": "failed"}
    assert merged.data == {"good": 1}


async def test_a_part_that_waits_for_what_was_cancelled_fails() -> None:
    async def waits() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    merged = merge(await all_frames(("waits", lazy(waits)), ("good", 1)))

    assert merged.errors == {"waits": "failed"}
    assert merged.data == {"good": 1}


async def test_a_slow_reader_is_no_reason_for_a_timeout() -> None:
    """The limit of a list is for its own work, and so is its `ms`."""

    def rows() -> Iterator[str]:
        yield from itertools.repeat("x" * 10_000, 200)

    async def rows_async() -> AsyncIterator[str]:
        for row in rows():
            yield row

    for fn in rows, rows_async:
        async with opened(("rows", lazy(fn, timeout=1.0))) as frames:
            found = [await anext(frames), await anext(frames)]
            # Longer than the part may take.
            await asyncio.sleep(1.3)
            found += [frame async for frame in frames]

        assert merge(found).errors == {}
        assert len(merge(found).data["rows"]) == 200
        assert found[-2]["ms"] < 1_300


async def test_after_a_slow_reader_the_limit_counts_again() -> None:
    async def rows() -> AsyncIterator[str]:
        for _ in range(200):
            yield "x" * 10_000

        await asyncio.sleep(60)

    started = time.monotonic()

    async with opened(("rows", lazy(rows, timeout=0.5))) as frames:
        found = [await anext(frames), await anext(frames)]
        await asyncio.sleep(0.8)
        found += [frame async for frame in frames]

    assert merge(found).errors == {"rows": "timeout"}
    assert time.monotonic() - started > 0.8
