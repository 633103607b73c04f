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

from .servers import ROOT, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("JOB", "postgresql", "sqlite")

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
def sqlite(settings: str = "") -> Iterator[dict[str, str]]:
    """A database in a file; the environment of those who use it, with other settings
    than the benchmarks' own where they are named."""
    with tempfile.TemporaryDirectory(prefix="partstream-bench-") as directory:
        environment = {
            "BENCH_SQLITE": str(Path(directory) / "bench.sqlite3"),
            **_named(settings),
        }
        _set_up(environment)
        yield environment


@contextlib.contextmanager
def postgresql(
    settings: str = "", *, durable: bool = False
) -> Iterator[dict[str, str]]:
    """A private PostgreSQL server; unless `durable`, it never waits for the disk."""
    with services.postgresql(durable=durable) as server:
        environment = {**server.environment, **_named(settings)}
        _set_up(environment)
        yield environment


def _named(settings: str) -> dict[str, str]:
    return {"DJANGO_SETTINGS_MODULE": settings} if settings else {}


def _set_up(environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", SETUP],
        cwd=ROOT,
        check=True,
        env={**os.environ, **SETTINGS, **environment},
    )
