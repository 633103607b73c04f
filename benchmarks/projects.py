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
call_command("migrate", verbosity=0)
Job.objects.create(pk="{JOB}", kind="upsert", state=State.PROGRESS, total=1_000_000)
"""


@contextlib.contextmanager
def sqlite() -> Iterator[dict[str, str]]:
    """A database in a file; the environment of those who use it."""
    with tempfile.TemporaryDirectory(prefix="partstream-bench-") as directory:
        environment = {"BENCH_SQLITE": str(Path(directory) / "bench.sqlite3")}
        _set_up(environment)
        yield environment


@contextlib.contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A private PostgreSQL server."""
    with services.postgresql() as server:
        _set_up(server.environment)
        yield server.environment


def _set_up(environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", SETUP],
        cwd=ROOT,
        check=True,
        env={**os.environ, **SETTINGS, **environment},
    )
