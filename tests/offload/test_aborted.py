"""Clients that leave a real server in the middle, and what remains of their streams."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from asgi_example import ports
from asgi_example.processes import Site
from django_partstream.transports.lent_threads import MOST_IDLE
from tests.forms import PATIENCE, count
from tests.offload.databases import open_connections
from tests.settings import TEST_DATABASE
from tests.streams.servers import Reader, Server

THREADS = 4
ROOT = Path(__file__).resolve().parent.parent.parent


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE

    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def server(transactional_db: None) -> Iterator[Server]:
    port = ports.free_port()
    connections["default"].close()
    # Also the tables of the tests.
    database = {
        "postgresql": "PGDATABASE",
        "mariadb": "MYSQL_DATABASE",
        "sqlite": "TEST_SQLITE_PATH",
    }
    name = connections.settings["default"]["NAME"]

    with Site() as site:
        process = site.start(
            "uvicorn",
            [
                *(
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "tests.offload.application:application",
                ),
                *("--host", ports.HOST, "--port", str(port)),
            ],
            cwd=ROOT,
            environment={
                **os.environ,
                database[TEST_DATABASE]: str(name),
                "TEST_SITE": json.dumps({"PARTSTREAM": {"THREADS": THREADS}}),
            },
        )
        process.wait_until_logged("Uvicorn running", seconds=60)

        yield Server(port=port, process=process)

        process.stop()
        assert "Traceback" not in process.output()


@pytest.mark.database
def test_a_server_that_ends_ends_the_statements_of_its_streams(server: Server) -> None:
    before = open_connections()
    readers = [
        Reader(server, "/endless/", accept="application/x-ndjson") for _ in range(4)
    ]

    for reader in readers:
        assert [reader.frame()["type"] for _ in range(2)] == ["start", "part"]

    server.process.stop(seconds=PATIENCE)
    # It was not killed in the end.
    assert server.process.exit_code in (0, -signal.SIGTERM)

    for reader in readers:
        with reader:
            end = reader.rest()[-1]
            assert (end["type"], end["reason"]) == ("end", "shutdown")

    until(lambda: not open_connections() - before)


@pytest.mark.database
def test_a_hundred_aborted_streams_leave_nothing(server: Server) -> None:
    before = open_connections()
    at_first = server.state()
    chance = random.Random(7)
    frames = [chance.choice([1, 2, 3, 4]) for _ in range(count(100, 1000))]

    def abort(read: int) -> None:
        reader = Reader(server, "/endless/", accept="application/x-ndjson")

        for _ in range(read):
            reader.frame()

        reader.abort()

    with ThreadPoolExecutor(8) as clients:
        assert len([*clients.map(abort, frames)]) == len(frames)

    def is_at_rest(state: dict[str, Any]) -> bool:
        return (
            state["running"] == 0
            and state["tasks"] <= at_first["tasks"]
            and state["pool"] == [0, 0, 0]
            # Those of requests, which wait for the next.
            and state["others"] <= at_first["others"] + MOST_IDLE
            and state["ours"] <= THREADS
            and state["files"] == 0
            and not open_connections() - before
        )

    server.until(is_at_rest)
