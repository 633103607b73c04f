"""Whatever is sent as a cursor, nothing breaks."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.core import signing

from tests.forms import count
from tests.parts import plans
from tests.parts.merging import merge, parse
from tests.parts.plans import Made
from tests.parts.representations import get

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream"
ALPHABET = string.ascii_letters + string.digits + "-_:.,=%& \n\x00é\u2028\udcff"

MADE = (
    Made("meta", plans.immediate, data=1),
    Made("more", plans.coroutine, data=2),
)


@pytest.fixture(autouse=True)
def site(settings: Any, db: None) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.parts.plans"
    yield
    plans.PLANS.clear()


def altered(cursor: str, luck: random.Random) -> str:
    """A cursor with something wrong: a place, the length, the order, the signer."""
    at = luck.randrange(len(cursor))

    match luck.randrange(8):
        case 0:
            return cursor[:at] + luck.choice(ALPHABET) + cursor[at + 1 :]
        case 1:
            return cursor[:at]
        case 2:
            return cursor[at:]
        case 3:
            return cursor[:at] + cursor[at + 1 :]
        case 4:
            pieces = cursor.split(":")
            luck.shuffle(pieces)
            return ":".join(pieces)
        case 5:
            content = luck.choice([None, [], [1], {"a": 1}, "text", [1, "a", "b", "c"]])
            salt = luck.choice(["django_partstream.cursor", "another"])
            return signing.dumps(content, salt=salt, compress=luck.random() < 0.5)
        case 6:
            return cursor * luck.randrange(2, 60)
        case _:
            return "".join(luck.choices(ALPHABET, k=luck.randrange(1, 300)))


async def test_no_cursor_is_answered_with_a_500() -> None:
    url = plans.plan_url(*MADE)
    _, _, body = await get(url, accept=NDJSON)
    cursor = parse(body)[0]["cursor"]
    seed = random.randrange(2**32)
    luck = random.Random(seed)
    statuses: set[int] = set()

    for number in range(count(100, 10_000)):
        token = altered(cursor, luck)
        accept = luck.choice(["application/json", NDJSON, EVENTS])
        last: str | None = None
        asked = quote(token.encode(errors="surrogatepass"))

        if accept == EVENTS and luck.random() < 0.5:
            last = "".join(one for one in token if one.isprintable())

        status, answered, body = await get(
            f"/planned/?cursor={asked}", accept=accept, last_event_id=last
        )
        statuses.add(status)
        about = (seed, number, token, body)

        if token in ("", cursor) and status == 200:
            continue

        assert status in (200, 204, 400, 410), about

        if status in (400, 410):
            assert answered["Content-Type"] == "application/problem+json", about
            assert json.loads(body)["code"] in ("cursor_invalid", "cursor_expired")

    assert 400 in statuses
    # The one that was altered is still good.
    _, _, body = await get(f"/planned/?cursor={cursor}", accept=NDJSON)
    assert merge(parse(body)).data == {"meta": 1, "more": 2}
