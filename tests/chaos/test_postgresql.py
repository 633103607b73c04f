"""What happens to the database server and to the line to it."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest
from django.db import connections

from asgi_example import services
from django_partstream.jobs import states
from django_partstream.models import State
from tests.chaos.arena import ALIAS, Arena, watching
from tests.chaos.postgresql_proxy import proxy
from tests.forms import count

pytestmark = pytest.mark.chaos


def unfinished() -> int:
    return states.jobs().filter(state__in=states.UNFINISHED).count()


def restart_immediately(server: services.PostgreSQL) -> None:
    """As `pg_ctl restart -m immediate` does."""
    connections[ALIAS].close()
    os.kill(server.process.pid, signal.SIGQUIT)
    server.process.wait_for_end()
    server.process.start()
    server.process.wait_until(lambda: _answers(server), seconds=60)


def _answers(server: services.PostgreSQL) -> bool:
    try:
        psycopg.connect(
            host=server.host, port=server.port, user=server.user, dbname="postgres"
        ).close()
    except psycopg.OperationalError:
        return False

    return True


def test_a_server_that_is_restarted_without_warning(
    postgresql_arena: Arena, chaos_postgresql: services.PostgreSQL
) -> None:
    arena = postgresql_arena
    restarts = count(1, 10)
    total = count(200, 1500)
    # None can end before the last restart.
    crawls_at = total * restarts // (restarts + 2) + 10
    jobs = [arena.make_job(total, seconds=0.004, crawls_at=crawls_at) for _ in range(3)]
    workers = [arena.worker() for _ in range(3)]

    for number in range(1, restarts + 1):
        arena.until(
            lambda number=number: all(
                arena.fresh(job).current >= job.total * number / (restarts + 2)
                for job in jobs
            )
        )
        assert not any(State(arena.fresh(job).state).terminal for job in jobs)
        restart_immediately(chaos_postgresql)

    arena.hurry()
    arena.wait(*jobs)
    arena.stop(workers)
    arena.verify(*jobs)
    arena.note(f"{restarts} restarts", jobs)


def test_a_commit_whose_answer_is_lost(
    postgresql_arena: Arena, chaos_postgresql: services.PostgreSQL
) -> None:
    arena = postgresql_arena
    jobs = [arena.make_job(90) for _ in range(2)]
    cuts = count(4, 60)

    if cuts > 10:
        jobs += [arena.make_job(350) for _ in range(6)]

    with proxy(chaos_postgresql.port, every=5, cuts=cuts) as between, watching(jobs):
        workers = [arena.worker(port=between.port) for _ in range(2)]
        arena.wait(*jobs)
        arena.stop(workers)

    assert between.cuts >= min(cuts, 4)
    arena.verify(*jobs)
    # What was committed without a word was not done again, and nobody had to step in.
    arena.note(f"{between.cuts} lost answers to COMMIT", jobs)


def test_connections_ended_by_an_administrator(postgresql_arena: Arena) -> None:
    arena = postgresql_arena
    jobs = [arena.make_job(200, seconds=0.003) for _ in range(3)]
    workers = [arena.worker() for _ in range(3)]

    def moved() -> int:
        return sum(job.batches for job in states.jobs())

    for _ in range(count(3, 30)):
        # Somebody is at work, and will be.
        before = moved()
        arena.until(lambda before=before: moved() > before + 2 or not unfinished())

        with connections[ALIAS].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    arena.wait(*jobs)
    arena.stop(workers)
    arena.verify(*jobs)
