"""Embedded jobs under servers that have no lifespan."""

from __future__ import annotations

import json
import signal
import sys

import pytest

from asgi_example import ports
from asgi_example.processes import Site
from tests.chaos.arena import PARTSTREAM, ROOT, Arena

pytestmark = pytest.mark.chaos

SERVERS = {
    "gunicorn": lambda port: [
        "-b",
        f"{ports.HOST}:{port}",
        "tests.chaos.application:wsgi",
    ],
    "daphne": lambda port: ["-p", str(port), "tests.chaos.application:asgi"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_jobs_begin_with_the_first_request_and_are_given_back_at_the_end(
    arena: Arena, server: str
) -> None:
    job = arena.make_job(5000, seconds=0.005)
    port = ports.free_port()
    environment = {
        **arena.zygote.environment,
        "CHAOS_PARTSTREAM": json.dumps({**PARTSTREAM, "QUEUE": "embedded"}),
    }

    with Site() as site:
        process = site.start(
            server,
            [sys.executable, "-m", server, *SERVERS[server](port)],
            cwd=ROOT,
            environment=environment,
            stop_signal=signal.SIGTERM,
        )
        process.wait_until(lambda: ports.answers(port), seconds=60)
        arena.until(lambda: arena.fresh(job).current > 10)
        process.stop()

    assert 0 < arena.fresh(job).current < 5000
    assert arena.fresh(job).lease_until is None
    assert arena.fresh(job).attempts == 0
