"""Jobs in the processes that serve, or handed by them to workers: one kind of server
after the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_example import ports
from asgi_example.processes import Process, Site
from django_partstream.jobs import states
from tests.app.models import Contract
from tests.chaos.arena import LONG_LEASE, PARTSTREAM, ROOT, Arena, watching
from tests.forms import LONG

pytestmark = pytest.mark.chaos

#: A busy machine takes its time for a goodbye.
STOP_SECONDS = 90.0
#: With a lifespan, and without.
WHOLE = "tests.chaos.application:whole"
ASGI, WSGI = "tests.chaos.application:asgi", "tests.chaos.application:wsgi"

COMMANDS = {
    "gunicorn": ["-b", "{host}:{port}", WSGI],
    "daphne": ["-b", "{host}", "-p", "{port}", ASGI],
    "hypercorn": ["-b", "{host}:{port}", WHOLE],
    "uvicorn": ["--workers", "2", "--host", "{host}", "--port", "{port}", WHOLE],
    "django": ["runserver", "--noreload", "{host}:{port}"],
}


@contextlib.contextmanager
def serving(
    arena: Arena, server: str, *, queue: str = "embedded", apps: tuple[str, ...] = ()
) -> Iterator[tuple[Process, int]]:
    port = ports.free_port()
    arguments = [word.format(host=ports.HOST, port=port) for word in COMMANDS[server]]
    environment = {
        **arena.zygote.environment,
        "CHAOS_PARTSTREAM": json.dumps({**PARTSTREAM, "QUEUE": queue}),
        "CHAOS_APPS": json.dumps(apps),
        "CHAOS_HISTORY": str(arena.zygote.history),
    }

    with Site() as site:
        process = site.start(
            server,
            [sys.executable, "-m", server, *arguments],
            cwd=ROOT,
            environment=environment,
            stop_signal=signal.SIGTERM,
        )
        process.wait_until(lambda: ports.answers(port), seconds=60)

        yield process, port


# Each on one of the databases; on both in the long form.
GENTLE = [
    ("postgresql", "gunicorn"),
    ("sqlite", "daphne"),
    ("sqlite", "hypercorn"),
    *([("sqlite", "gunicorn"), ("postgresql", "daphne")] if LONG else []),
]


@pytest.mark.parametrize(("kind", "server"), GENTLE)
def test_jobs_begin_with_the_first_request_and_are_given_back_at_the_end(
    chosen_arena: Arena, server: str
) -> None:
    arena = chosen_arena
    job = arena.make_job(5000, seconds=0.005)

    with serving(arena, server) as (process, _):
        arena.until(lambda: arena.fresh(job).current > 10)
        process.stop(seconds=STOP_SECONDS)

    assert 0 < arena.fresh(job).current < 5000
    assert arena.fresh(job).lease_until is None
    assert arena.fresh(job).attempts == 0


@pytest.mark.parametrize(
    ("kind", "apps"),
    [
        pytest.param("sqlite", (), id="sqlite-django"),
        pytest.param("postgresql", ("daphne",), id="postgresql-daphne"),
    ],
)
def test_jobs_under_runserver_go_on_where_it_was_ended(
    chosen_arena: Arena, apps: tuple[str, ...]
) -> None:
    """Django's dies of SIGTERM without a word, and the job waits for its lease;
    daphne's gives it back."""
    arena = chosen_arena
    job = arena.make_job(120, seconds=0.003, crawls_at=15)

    with serving(arena, "django", apps=apps) as (process, _):
        arena.until(lambda: arena.fresh(job).current > 10)
        process.stop(seconds=STOP_SECONDS)
        # Whose it was is what it says of itself.
        assert ("daphne" in process.output().lower()) == bool(apps)

    assert 10 < arena.fresh(job).current < 120
    arena.hurry()
    worker = arena.worker(partstream=LONG_LEASE)
    arena.wait(job)
    arena.stop([worker])
    arena.verify(job)
    assert arena.takeovers(job) == (0 if apps else 1)


@pytest.mark.parametrize("kind", ["sqlite"])
def test_two_serving_processes_share_the_jobs_of_one_file(chosen_arena: Arena) -> None:
    arena = chosen_arena
    jobs = [arena.make_job(150, seconds=0.003, crawls_at=10) for _ in range(3)]

    def holders() -> set[int]:
        held = states.jobs().filter(lease_until__isnull=False)

        return {int(job.worker.split(":")[1]) for job in held}

    with watching(jobs), serving(arena, "uvicorn") as (process, _):
        # One job at a time each.
        arena.until(lambda: len(holders()) == 2)
        assert process.pid not in holders()
        # Its supervisor starts another one.
        os.kill(min(holders()), signal.SIGKILL)
        arena.hurry()
        arena.wait(*jobs)

    arena.verify(*jobs)
    assert arena.takeovers() >= 1


@pytest.mark.parametrize("kind", ["postgresql"])
def test_what_a_wsgi_server_accepts_is_done_by_workers(
    chosen_arena: Arena, tmp_path: Path
) -> None:
    arena = chosen_arena
    lines = [f"W{number},2024\n" for number in range(500)]

    with serving(arena, "gunicorn", queue="database") as (process, port):
        request = urllib.request.Request(
            f"http://{ports.HOST}:{port}/api/contracts/",
            data=("number,year\n" + "".join(lines)).encode(),
            headers={"Content-Type": "text/csv", "Prefer": "respond-async"},
        )

        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 202
            job = states.jobs().get(pk=json.load(answer)["task_id"])

        process.kill()

    worker = arena.worker()
    arena.wait(job)
    arena.stop([worker])

    assert Contract.objects.count() == arena.fresh(job).created == 500
    Contract.objects.all().delete()
