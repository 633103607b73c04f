"""Whatever is asked, the answer is a good one or a problem."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

import pytest
from django.core.asgi import get_asgi_application
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.forms import count

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(1800)]

#: Something of everything, in which almost valid values are frequent.
NOISE = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from([b"", b"0", b"-1", b"1e9", b"%00", b"\x00", b"\xff\xfe", b"done"]),
    st.integers().map(lambda number: str(number).encode()),
    st.integers(1000, 6000).map(lambda size: b"x" * size),
)
FORMATS = [b"json", b"ndjson", b"sse", b"xml", b"JSON", b"csv", b"api"]
MEDIA = [
    b"application/json",
    b"application/x-ndjson",
    b"text/event-stream",
    b"*/*",
    b"text/*",
    b"*/json",
    b"image/png",
    b"application/json;q=0",
    b"text/event-stream;q=0.7",
    b"application/json;q=\xc3\xa9",
    b";;;q=1",
    b"/",
]
ACCEPTS = st.lists(st.one_of(st.sampled_from(MEDIA), NOISE), max_size=6).map(b",".join)
PARTS = st.lists(
    st.one_of(st.sampled_from([b"first", b"second", b"third", b""]), NOISE), max_size=4
).map(b",".join)
METHODS = st.sampled_from(["GET"] * 8 + ["HEAD", "OPTIONS", "POST", "DELETE", "BREW"])
NO_OPERATION = "/api/operations/00000000-0000-0000-0000-000000000000/events/"
PATHS = st.sampled_from([*["/quick/"] * 6, "/needs-user/", NO_OPERATION])


class Cursors:
    """Valid ones, and what becomes of them on the way."""

    def __init__(self) -> None:
        self.known: list[bytes] = [b"none"]

    def __call__(self) -> st.SearchStrategy[bytes]:
        # Examples draw from what was seen before, so that they cannot be replayed
        # one by one: the seed is.
        return st.one_of(
            NOISE,
            st.tuples(st.integers(0, 10_000), st.integers(0, 400), NOISE).map(
                lambda drawn: self._mutated(*drawn)
            ),
            st.integers(0, 10_000).map(self._valid),
        )

    def _valid(self, index: int) -> bytes:
        return self.known[index % len(self.known)]

    def _mutated(self, index: int, at: int, noise: bytes) -> bytes:
        cursor = self._valid(index)

        return cursor[:at] + noise + cursor[at + 1 :]


class Site:
    """The whole of Django, asked in bytes."""

    def __init__(self) -> None:
        self.application: Any = get_asgi_application()
        self.cursors = Cursors()
        self.seen: Counter[tuple[int, str]] = Counter()
        self._loop = asyncio.new_event_loop()

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def ask(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        return self._loop.run_until_complete(
            asyncio.wait_for(self._ask(method, path, query, headers), 60)
        )

    async def _ask(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []
        live = asyncio.Event()
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked

            if not asked:
                asked = True
                return {"type": "http.request"}

            await live.wait()

            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

            # A live stream ends when its client has enough.
            if b'{"type":"live"}' in message.get("body", b""):
                live.set()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": [(b"host", b"testserver"), *headers],
            "client": ("127.0.0.1", 1),
        }
        await self.application(scope, receive, send)
        found = {
            name.decode().lower(): value.decode() for name, value in sent[0]["headers"]
        }
        body = b"".join(message.get("body", b"") for message in sent[1:])

        return sent[0]["status"], found, body


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def check(site: Site, method: str, answer: tuple[int, dict[str, str], bytes]) -> None:
    status, headers, body = answer
    kind = headers.get("content-type", "")
    site.seen[status, kind] += 1

    if status >= 400:
        assert kind == "application/problem+json", answer
        problem = json.loads(body)
        assert problem["status"] == status < 500, answer
        assert problem["code"]
        return

    if status == 204:
        assert body == b""
        return

    assert status == 200, answer

    if method == "HEAD" and "stream" in kind + headers.get("x-accel-buffering", ""):
        return

    if kind == "application/json":
        page = json.loads(body)
        assert {"results", "renders"} & page.keys()
        learn(site, page)
        return

    lines = body.splitlines() if kind == "application/x-ndjson" else events(body)
    found = [json.loads(line) for line in lines]

    if method == "HEAD":
        assert found == []
        return

    assert found[0]["type"] == "start"
    assert found[-1]["type"] in ("end", "live")

    for frame in found:
        learn(site, frame)


def events(body: bytes) -> list[bytes]:
    blocks = body.split(b"\n\n")
    assert blocks.pop() == b""

    return [block.splitlines()[-1].removeprefix(b"data: ") for block in blocks]


def learn(site: Site, answer: dict[str, Any]) -> None:
    cursor = answer.get("cursor")

    if cursor and len(site.cursors.known) < 500:
        site.cursors.known.append(cursor.encode())


def test_no_request_fails(fuzzed: Site) -> None:
    cursor = fuzzed.cursors()
    pairs = st.one_of(
        st.tuples(st.just(b"cursor"), cursor),
        st.tuples(st.just(b"parts"), PARTS),
        st.tuples(st.just(b"format"), st.one_of(st.sampled_from(FORMATS), NOISE)),
        st.tuples(
            st.just(b"chunk_size"),
            st.one_of(st.integers(-3, 12).map(lambda n: str(n).encode()), NOISE),
        ),
        st.tuples(st.just(b"live"), st.sampled_from([b"1", b"0", b"", b"true"])),
        st.tuples(NOISE, NOISE),
    )
    queries = st.one_of(
        st.just(b""),
        st.lists(pairs, max_size=4).map(
            lambda found: b"&".join(
                name + b"=" + quote_from_bytes(value).encode() for name, value in found
            )
        ),
        st.lists(pairs, max_size=4).map(
            lambda found: b"&".join(name + b"=" + value for name, value in found)
        ),
        st.binary(max_size=60),
    )
    headers = st.lists(
        st.one_of(
            st.tuples(st.just(b"accept"), ACCEPTS),
            st.tuples(st.just(b"accept"), st.sampled_from(MEDIA[:3])),
            st.tuples(st.just(b"last-event-id"), cursor),
            st.tuples(st.just(b"accept-language"), NOISE),
            st.tuples(st.just(b"authorization"), NOISE),
            st.tuples(st.just(b"content-type"), NOISE),
            st.tuples(st.just(b"x-forwarded-for"), NOISE),
            st.tuples(
                st.just(b"cookie"), NOISE.map(lambda value: b"sessionid=" + value)
            ),
        ),
        max_size=4,
    )

    @settings(
        max_examples=count(100, 10_000),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(method=METHODS, path=PATHS, query=queries, headers=headers)
    @example(method="GET", path="/quick/", query=b"format=json", headers=[])
    @example(method="GET", path="/quick/", query=b"format=ndjson", headers=[])
    @example(method="GET", path="/quick/", query=b"format=sse", headers=[])
    @example(method="GET", path="/quick/", query=b"format=json&cursor=x", headers=[])
    @example(method="GET", path="/needs-user/", query=b"format=json", headers=[])
    @example(method="GET", path=NO_OPERATION, query=b"", headers=[])
    @example(method="POST", path="/quick/", query=b"format=json", headers=[])
    def asks(
        method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        answer = fuzzed.ask(method, path, query, headers)

        if _is_text(query):
            check(fuzzed, method, answer)
        else:
            # Django's own answer, before any view.
            assert (answer[0], answer[2]) == (400, b"")

    asks()
    logger.info("%s", sorted(fuzzed.seen.items()))

    # It was no monologue: each of these is among the examples.
    assert {status for status, _ in fuzzed.seen} >= {200, 400, 403, 404, 405}


def _is_text(query: bytes) -> bool:
    try:
        query.decode()
    except UnicodeDecodeError:
        return False

    return True
