"""arq's workers, and a Redis that is wiped, restarted or away: it carries ids only."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from asgiref.sync import async_to_sync

from asgi_example.services import Redis
from django_partstream.jobs import arq_queue, states
from django_partstream.jobs.arq_queue import FUNCTION, QUEUE_NAME, ArqQueue
from django_partstream.models import Worker
from tests.app.models import Contract
from tests.chaos.arena import LONG_LEASE, PARTSTREAM, ROOT, Arena, watching
from tests.chaos.redis_proxy import proxy
from tests.forms import LONG, count

pytestmark = pytest.mark.chaos

SETTINGS = "django_partstream.jobs.arq_queue.WorkerSettings"


@pytest.fixture
def partstream(
    redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Of workers, and of the test that hands jobs out, which has time for it."""
    monkeypatch.setattr(arq_queue, "PUBLISH_TIMEOUT_SECONDS", 60.0)
    settings.PARTSTREAM = {**PARTSTREAM, "QUEUE": "arq", "REDIS_URL": redis_url}

    return dict(settings.PARTSTREAM)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_deploys_during_one_job_repeat_nothing(
    postgresql_arena: Arena, partstream: dict[str, Any], client: redis.Redis
) -> None:
    arena = postgresql_arena
    job = arena.make_job(400, seconds=0.002, crawls_at=50)
    partstream |= LONG_LEASE

    for number in range(count(4, 10)):
        worker = arena.worker(partstream=partstream)
        arena.until(lambda number=number: arena.fresh(job).current > 5 * number)
        arena.stop([worker])
        assert arena.fresh(job).attempts == 0
        assert arena.fresh(job).lease_until is None

    assert arena.fresh(job).current < 400
    arena.hurry()
    worker = arena.worker(partstream=partstream)
    arena.wait(job)
    arena.stop([worker])
    arena.verify(job)
    assert arena.takeovers() == 0
    # No result is kept, and nothing of arq's stays behind for the job.
    assert client.keys("arq:result:*") == []
    assert client.keys("arq:abort*") == []


def test_arq_runs_our_slices_by_its_own_command(
    postgresql_arena: Arena, partstream: dict[str, Any], tmp_path: Path
) -> None:
    arena = postgresql_arena
    job = arena.make_job(60, seconds=0.002)
    environment = {
        **arena.zygote.environment,
        "CHAOS_PARTSTREAM": json.dumps(partstream),
    }

    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [*(sys.executable, "-c", "from arq.cli import cli; cli()"), SETTINGS],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )

        try:
            arena.wait(job)
            process.terminate()
            assert process.wait(90) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait()

    arena.verify(job)
    assert arena.fresh(job).attempts == 0


def test_arqs_own_worker_ends_well_whatever_its_slice_is_at_when_it_is_told_to(
    postgresql_arena: Arena, partstream: dict[str, Any]
) -> None:
    arena = postgresql_arena
    partstream |= LONG_LEASE

    for _ in range(count(5, 60)):
        job = arena.make_job(20, seconds=0.002)
        worker = arena.start("arq", settings=SETTINGS, partstream=partstream)
        # Before the first row, in the midst, or when arq tells Redis of the last slice.
        rows = arena.random.choice([0, 5, 20])
        arena.until(lambda job=job, rows=rows: arena.fresh(job).current >= rows)
        arena.stop([worker])

        assert arena.fresh(job).lease_until is None
        assert arena.fresh(job).attempts == 0
        assert Worker.objects.count() == 0

        worker = arena.start("arq", settings=SETTINGS, partstream=partstream)
        arena.wait(job)
        arena.stop([worker])
        arena.verify(job)

    assert arena.takeovers() == 0


def test_messages_are_json_of_an_id_under_an_id_of_their_own(
    postgresql_arena: Arena, partstream: dict[str, Any], client: redis.Redis
) -> None:
    arena = postgresql_arena
    job = arena.make_job(5)
    message_id = states.dispatch(job.pk, 0)
    assert message_id == f"{job.pk}:0:1"

    async_to_sync(ArqQueue().publish)(job.pk, message_id)

    assert client.zrange(QUEUE_NAME, 0, -1) == [message_id.encode()]
    stored: Any = client.get(f"arq:job:{message_id}")
    message = json.loads(stored)
    assert (message["f"], message["a"]) == (FUNCTION, [str(job.pk)])


def test_duplicated_lost_and_reordered_messages(
    postgresql_arena: Arena, partstream: dict[str, Any], client: redis.Redis
) -> None:
    arena = postgresql_arena
    jobs = [arena.make_job(60, seconds=0.002) for _ in range(4)]
    queue = ArqQueue()
    workers = [
        arena.worker(partstream=partstream, options={"concurrency": 2})
        for _ in range(2)
    ]

    with watching(jobs):
        for number in range(count(30, 1000)):
            job = arena.random.choice(jobs)
            # Old epochs, ids of jobs that are done or were never there.
            message = f"{job.pk}:{arena.random.randrange(3)}:{number}"
            async_to_sync(queue.publish)(
                arena.random.choice([job.pk, job.pk, uuid4()]), message
            )

            if arena.random.random() < 0.3:
                client.zpopmin(QUEUE_NAME)

            if arena.random.random() < 0.3:
                client.zadd(
                    QUEUE_NAME, {message: arena.random.randrange(10**6)}, xx=True
                )

        arena.wait(*jobs)

    arena.stop(workers)
    arena.verify(*jobs)
    # Nobody was taken for dead who had worked a moment before.
    assert min(arena.rescues(), default=1.0) > 0.8


def test_redis_wiped_and_restarted_at_any_moment_loses_nothing(
    arena: Arena, partstream: dict[str, Any], client: redis.Redis, redis_server: Redis
) -> None:
    jobs = [arena.make_job(150, seconds=0.003) for _ in range(3)]
    workers = [arena.worker(partstream=partstream) for _ in range(2)]
    rounds = count(4, 40)

    with watching(jobs):
        for number in range(rounds):
            time.sleep(arena.random.uniform(0.05, 0.4))

            if number % 2:
                redis_server.kill()
                redis_server.restart()
            else:
                client.flushall()

            if rounds > 10 and number % 3 == 0:
                jobs.append(arena.make_job(150, seconds=0.003))

        arena.wait(*jobs)

    arena.stop(workers)
    arena.verify(*jobs)
    arena.note(f"{rounds} wipes and restarts of Redis", jobs)


def test_jobs_are_done_while_redis_is_away(
    postgresql_arena: Arena, partstream: dict[str, Any], redis_server: Redis
) -> None:
    arena = postgresql_arena
    redis_server.kill()

    try:
        job = arena.make_job(35)
        worker = arena.worker(partstream=partstream)
        arena.wait(job)
        arena.stop([worker])
    finally:
        redis_server.restart()

    arena.verify(job)


@pytest.mark.skipif(not LONG, reason="waits for what does not come")
def test_jobs_are_taken_and_done_while_no_word_comes_from_redis(
    postgresql_arena: Arena,
    partstream: dict[str, Any],
    redis_server: Redis,
    tmp_path: Path,
) -> None:
    """Its connections are open, and dead: nobody waits for it for long."""
    arena = postgresql_arena
    file = tmp_path / "rows.csv"
    file.write_text("number,year\nR1,2024\nR2,2024\n", encoding="utf-8")

    with proxy(redis_server.port) as between:
        partstream |= {"REDIS_URL": f"redis://127.0.0.1:{between.port}/0"}
        first = arena.make_job(100, seconds=0.002)
        worker = arena.worker(partstream=partstream)
        arena.until(lambda: arena.fresh(first).current > 10)
        between.is_dead.set()

        began = time.monotonic()
        order = {"address": "/api/contracts/", "file": str(file)}
        asked = arena.start("post", partstream=partstream, **order)
        assert arena.end(asked) == 0, arena.logged()
        answered = time.monotonic() - began
        posted = states.jobs().latest("created_at")
        arena.wait(first, posted)

        between.is_dead.clear()
        last = arena.make_job(10)
        arena.wait(last)
        arena.stop([worker])

    # Three seconds are what a request waits for a queue.
    assert 3 <= answered < 20
    arena.verify(first, last)
    assert arena.fresh(posted).created == Contract.objects.count() == 2
    Contract.objects.all().delete()
