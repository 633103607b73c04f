"""Lists of a hundred thousand rows, out of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db import connection

from tests.streams.servers import Reader, Server, serving

ROWS = 100_000
NDJSON = "application/x-ndjson"


@pytest.fixture
def accounts(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE numbers(n) AS "
            "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s) "
            "INSERT INTO app_account (name, tenant) "
            "SELECT 'account ' || n, 'ours' FROM numbers",
            [ROWS],
        )


@pytest.fixture
def server(accounts: None) -> Iterator[Server]:
    with serving("uvicorn", ROOT_URLCONF="tests.parts.large") as server:
        yield server


def peak(server: Server) -> int:
    return int(json.loads(server.get("/peak/")[2])["bytes"])


def read(server: Server, kind: str, rows: int) -> int:
    """How many frames came; they are dropped as they come."""
    frames = seen = 0

    with Reader(server, f"/large/?kind={kind}&rows={rows}", Accept=NDJSON) as reader:
        while (frame := reader.frame())["type"] != "end":
            frames += 1

            if frame["type"] == "items":
                assert len(frame["items"]) <= 1_000
                assert frame["seq"] == frames - 2
                seen += len(frame["items"])

            if frame["type"] == "part":
                assert frame["count"] == seen == rows

    assert (frame["ok"], frame["failed"]) == (1, 0)

    return frames


KINDS = ("values", "instances", "generator", "async")


def test_a_hundred_thousand_rows_take_less_than_20_mb(server: Server) -> None:
    """Of any kind, and all kinds one after the other."""
    # What a list takes at all: modules, threads, the buffers of a few batches.
    for kind in KINDS:
        read(server, kind, 3_000)

    before = peak(server)

    for kind in KINDS:
        frames = read(server, kind, ROWS)

        assert peak(server) - before < 20 * 2**20, kind
        assert frames < ROWS / 10
