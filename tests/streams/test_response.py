"""A response of frames by itself: what waits in it, what ends it, what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from django_partstream import frames
from django_partstream.transports import outbox
from django_partstream.transports.streaming import FrameResponse, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

START = frames.Start(parts=(), cursor=None)
END = frames.End(ok=0, failed=0, cursor=None, reason="complete")


def item(number: int, size: int = 1) -> frames.Items:
    return frames.Items(name="a", seq=number, items=["x" * size])


def limits(**changes: Any) -> Limits:
    return Limits(
        **{"heartbeat": 30.0, "send_timeout": 30.0, "queue_frames": 16, **changes}
    )


class Producer:
    """Frames, each made when it is asked for, and then whatever `then` does."""

    def __init__(self, *made: frames.Frame, then: Any = None) -> None:
        self.made = 0
        self.ended = asyncio.Event()
        self._frames = made
        self._then = then

    async def __call__(self) -> AsyncGenerator[frames.Frame]:
        try:
            for frame in self._frames:
                self.made += 1

                yield frame

            if self._then is not None:
                await self._then()
        finally:
            self.ended.set()


async def forever() -> None:
    await asyncio.Event().wait()


async def blocks(response: FrameResponse) -> list[list[dict[str, Any]]]:
    return [
        [json.loads(line) for line in block.splitlines()] async for block in response
    ]


async def settled(producer: Producer) -> int:
    """How many frames were made when no more are."""
    made = -1

    while made != producer.made:
        made = producer.made

        for _ in range(10):
            await asyncio.sleep(0)

    return made


async def test_ready_frames_share_a_write_and_the_first_does_not_wait_for_them() -> (
    None
):
    producer = Producer(START, *map(item, range(40)), END)

    found = await blocks(FrameResponse(producer()))

    assert [frame["type"] for frame in found[0]] == ["start"]
    assert [len(block) for block in found[1:]] == [16, 16, 9]
    assert found[-1][-1]["type"] == "end"


async def test_shared_writes_are_no_larger_than_django_sends_at_once() -> None:
    producer = Producer(*(item(number, 30_000) for number in range(6)), END)

    found = [block async for block in FrameResponse(producer())]

    assert [len(block) // 30_000 for block in found] == [2, 2, 2]
    assert max(map(len, found)) <= outbox.WRITE_BYTES


async def test_producer_waits_for_a_slow_client_by_number_of_frames() -> None:
    producer = Producer(*map(item, range(1000)))
    stream = aiter(FrameResponse(producer(), limits=limits(queue_frames=3)))
    await anext(stream)

    # Three wait in the queue, and one in hand before it.
    taken = await settled(producer)
    assert taken <= 3 + 3 + 1
    await anext(stream)
    assert taken < await settled(producer) <= taken + 4
    await stream.aclose()  # type: ignore[attr-defined]
    assert producer.ended.is_set()


async def test_producer_waits_for_a_slow_client_by_size() -> None:
    producer = Producer(*(item(number, 100_000) for number in range(1000)))
    stream = aiter(FrameResponse(producer(), limits=limits(queue_frames=1000)))
    await anext(stream)

    assert await settled(producer) <= outbox.MAX_BYTES // 100_000 + 3
    await stream.aclose()  # type: ignore[attr-defined]


async def test_frame_that_is_larger_than_the_queue_passes() -> None:
    size = 2 * outbox.MAX_BYTES

    found = await blocks(FrameResponse(Producer(START, item(0, size), END)()))

    assert [frame["type"] for block in found for frame in block] == [
        "start",
        "items",
        "end",
    ]


async def raises() -> None:
    raise RuntimeError("password=hunter2")


async def cancels_itself() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("then", [raises, cancels_itself])
async def test_producer_that_fails_cuts_the_stream_and_breaks_nothing(
    then: Any, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[bool] = []
    producer = Producer(START, item(0), then=then)

    found = await blocks(
        FrameResponse(producer(), on_close=lambda: closed.append(True))
    )

    assert [frame["type"] for block in found for frame in block] == ["start", "items"]
    assert producer.ended.is_set()
    assert closed == [True]
    assert ("hunter2" in caplog.text) == (then is raises)


async def test_frame_that_cannot_be_encoded_cuts_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = frames.Part(name="a", data=object(), cursor=None, ms=0.0)
    producer = Producer(START, bad, END)

    found = await blocks(FrameResponse(producer()))

    assert [frame["type"] for block in found for frame in block] == ["start"]
    assert producer.ended.is_set()
    assert "Cannot encode a value of type 'object' at '/data'" in caplog.text


async def test_leaving_ends_the_producer_before_anything_else_happens() -> None:
    producer = Producer(START, then=forever)
    stream = aiter(FrameResponse(producer()))
    await anext(stream)
    gc.disable()

    try:
        await stream.aclose()  # type: ignore[attr-defined]
    finally:
        gc.enable()

    assert producer.ended.is_set()


async def test_closing_ends_what_middleware_has_wrapped_and_left() -> None:
    producer = Producer(START, then=forever)
    response = FrameResponse(producer())
    inner = response.streaming_content

    async def wrapped() -> AsyncIterator[bytes]:
        async for block in inner:
            yield block.upper()

    response.streaming_content = wrapped()
    stream = aiter(response)
    assert b"START" in await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert not producer.ended.is_set()

    # As Django does it: from a thread.
    await asyncio.to_thread(response.close)

    async with asyncio.timeout(60):
        await producer.ended.wait()


async def test_closing_a_response_that_nobody_began_begins_nothing() -> None:
    closed: list[bool] = []
    producer = Producer(START)
    response = FrameResponse(producer(), on_close=lambda: closed.append(True))

    await asyncio.to_thread(response.close)

    assert closed == [True]
    assert producer.made == 0


async def test_consumer_that_takes_nothing_loses_the_work_and_not_its_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = Producer(START, then=forever)
    response = FrameResponse(producer(), limits=limits(send_timeout=0.01))
    stream = aiter(response)
    await anext(stream)

    # No handler of Django's runs this response.
    async with asyncio.timeout(60):
        await producer.ended.wait()

    assert [block async for block in stream] == []
    assert "a client took nothing for 0.01 s and was dropped" in caplog.text


async def test_handler_whose_client_takes_nothing_is_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    producer = Producer(START, then=forever)
    response = FrameResponse(producer(), limits=limits(send_timeout=0.01))
    response._handler_class = object  # type: ignore[attr-defined]

    async def send() -> None:
        async with contextlib.aclosing(aiter(response)) as content:  # type: ignore[type-var]
            async for _ in content:
                await forever()

    task = asyncio.create_task(send())
    await asyncio.wait([task], timeout=60)

    assert task.cancelled()
    assert producer.ended.is_set()


async def test_frames_are_handed_out_once() -> None:
    response = FrameResponse(Producer(START)())
    producer = response.frames()

    with pytest.raises(
        RuntimeError, match=r"^The frames of this response were taken already\.$"
    ):
        response.frames()

    await producer.aclose()


async def test_headers_cannot_change_when_they_have_left() -> None:
    response = FrameResponse(Producer(START, then=forever)())
    response["X-In-Time"] = "1"
    stream = aiter(response)
    await anext(stream)

    with pytest.raises(RuntimeError) as late:
        response["X-Late"] = "1"

    assert str(late.value) == (
        "It is too late for the header 'X-Late': the headers of a stream have left "
        "before its parts are made. Do it in get_parts() or in middleware."
    )

    with pytest.raises(RuntimeError, match="the header 'X-In-Time'"):
        del response["X-In-Time"]

    for change in (response.set_cookie, response.delete_cookie):
        with pytest.raises(RuntimeError, match="the cookie 'late'"):
            change("late")

    await stream.aclose()  # type: ignore[attr-defined]
