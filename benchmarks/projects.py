"""What the servers of a benchmark find: a database with its tables, and a job."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import services

from .databases import COUNTED, PRELOADED, Database, can_count
from .servers import ROOT, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("COUNT", "JOB", "postgresql", "sqlite")

#: In our environment: statements are counted, whoever runs them.
COUNT = "BENCH_STATEMENTS"
#: The job that everybody follows.
JOB = "7c0f0f52-5ad5-4e6c-8f0c-2f2b8d1c9a01"

SETUP = f"""
import django
django.setup()
from django.core.management import call_command
from django_partstream.models import Job, State
call_command("migrate", run_syncdb=True, verbosity=0)
Job.objects.create(pk="{JOB}", kind="upsert", state=State.PROGRESS, total=1_000_000)
"""


@contextlib.contextmanager
def sqlite(settings: str = "") -> Iterator[Database]:
    """A database in a file, for those who use it with other settings than the
    benchmarks' own where they are named."""
    with tempfile.TemporaryDirectory(prefix="partstream-bench-") as directory:
        path = str(Path(directory) / "bench.sqlite3")
        database = Database({"BENCH_SQLITE": path, **_named(settings)})
        _set_up(database)
        yield database


@contextlib.contextmanager
def postgresql(
    settings: str = "", *, durable: bool = False, counted: bool = False
) -> Iterator[Database]:
    """A private PostgreSQL server; unless `durable`, it never waits for the disk. The
    statements of those who get its environment are `counted`, where it can do that."""
    counts = can_count() and (counted or COUNT in os.environ)

    with services.postgresql(
        durable=durable, settings=PRELOADED if counts else {}
    ) as server:
        environment = {**server.environment, **_named(settings)}
        environment |= COUNTED if counts else {}
        _set_up(environment)

        with Database(environment, server.process.pid) as database:
            yield database


def _named(settings: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": settings} if settings else {}


def _set_up(environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", SETUP],
        cwd=ROOT,
        check=True,
        env={**os.environ, **SETTINGS, **environment},
    )
