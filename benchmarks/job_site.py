"""A database, a server and workers that load flights, and COPY beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from asgi_example import services
from asgi_example.processes import Site

from . import projects
from .flights import Files
from .servers import ROOT, Server, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from asgi_example.processes import Process

    from .databases import Database

__all__ = (
    "PATIENCE_SECONDS",
    "SETTINGS",
    "JobSite",
    "Loaded",
    "send",
    "set_up",
    "until",
)

SETTINGS = "benchmarks.apps.flights_settings"
START_SECONDS = 60.0
#: Of one job, before the benchmark is given up.
PATIENCE_SECONDS = 900.0

#: The airports that the published file of airports lacks, with all others, so that no
#: flight is refused: COPY would have nothing of the file then.
SETUP = """
import django
django.setup()
from django.core.management import call_command
from asgi_example.flights.models import Airport
call_command("load_reference", verbosity=0)
Airport.objects.bulk_create(
    Airport(faa=faa, name=faa, lat=0, lon=0, alt=0, tz=-4, dst="N")
    for faa in ("BQN", "PSE", "SJU", "STT")
)
"""
COLUMNS = (
    "year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, "
    "arr_delay, carrier, flight, tailnum, origin, dest, air_time, distance, hour, "
    "minute, time_hour"
)
COPY = f"COPY flights_flight ({COLUMNS}) FROM STDIN (FORMAT csv, HEADER, NULL 'NA')"
PIECE_BYTES = 256 * 1024
#: Where a file is sent to.
CREATE = "/api/flights/"
UPSERT = "/api/flights/?unique_fields=time_hour,carrier,flight"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One job, from the first byte of the request to its end."""

    seconds: float
    #: From a worker's claim on.
    work_seconds: float
    rows: int


class JobSite:
    """What a benchmark of jobs needs; empty again after `forget`."""

    def __init__(
        self,
        database: Database,
        environment: Mapping[str, str],
        files: Files,
        processes: Site,
        connection: psycopg.Connection[tuple[Any, ...]],
    ) -> None:
        self.files = files
        self.database = database
        self._environment = dict(environment)
        self._processes = processes
        self._connection = connection
        self._workers = 0

    @classmethod
    @contextlib.contextmanager
    def open(cls, *, queue: str = "arq") -> Iterator[JobSite]:
        """On a PostgreSQL as careful as it is by default, with Redis for arq."""
        with contextlib.ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="partstream-bench-")
            database = stack.enter_context(
                projects.postgresql(SETTINGS, durable=True, counted=True)
            )
            environment = {**database, "BENCH_QUEUE": queue}

            if queue == "arq":
                redis = stack.enter_context(services.redis())
                environment["BENCH_REDIS"] = redis.url

            set_up(environment)
            connection = psycopg.connect(
                host=environment["PGHOST"],
                port=environment["PGPORT"],
                user=environment["PGUSER"],
                dbname=environment["PGDATABASE"],
                autocommit=True,
            )

            yield cls(
                database,
                environment,
                Files(Path(stack.enter_context(folder))),
                stack.enter_context(Site()),
                stack.enter_context(connection),
            )

    def server(self) -> contextlib.AbstractContextManager[Server]:
        return serve("flights_site:application", environment=self._environment)

    @contextlib.contextmanager
    def workers(self, count: int) -> Iterator[list[Server]]:
        """So many, which are ready to work."""
        before = self.alive_workers()
        started = [self._start_worker() for _ in range(count)]

        try:
            until(lambda: self.alive_workers() >= before + count, START_SECONDS)

            yield [Server(process, 0) for process in started]
        finally:
            for process in started:
                process.stop()

    def _start_worker(self) -> Process:
        self._workers += 1

        return self._processes.start(
            f"worker-{self._workers}",
            [sys.executable, "-m", "django", "partstream_worker"],
            cwd=ROOT,
            environment={**os.environ, **self._environment},
        )

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def alive_workers(self) -> int:
        sql = "SELECT count(*) FROM partstream_worker"
        [(count,)] = self.query(sql)

        return int(count)

    def forget(self) -> None:
        """Leave no flight and no job, and nothing for the disk to do."""
        for sql in (
            "TRUNCATE flights_flight RESTART IDENTITY",
            "TRUNCATE partstream_job CASCADE",
            "CHECKPOINT",
        ):
            self._connection.execute(sql)

    def copy(self, path: Path) -> float:
        """Seconds that PostgreSQL's own loader takes for a file."""
        began = time.perf_counter()

        with (
            self._connection.cursor() as cursor,
            cursor.copy(COPY) as copy,
            path.open("rb") as file,
        ):
            while piece := file.read(PIECE_BYTES):
                copy.write(piece)

        return time.perf_counter() - began

    def send(self, server: Server, path: Path, url: str = CREATE) -> str:
        """The id of the job that a file becomes."""
        return send(server, path, url)

    def load(self, server: Server, path: Path, url: str = CREATE) -> Loaded:
        """Send a file and wait for its job."""
        began = time.perf_counter()
        job = self.send(server, path, url)
        self.wait_for([job])
        seconds = time.perf_counter() - began
        [(work_seconds, rows)] = self.query(
            "SELECT extract(epoch FROM finished_at - started_at), created + updated "
            "FROM partstream_job WHERE id = %s",
            job,
        )

        return Loaded(seconds=seconds, work_seconds=float(work_seconds), rows=rows)

    def wait_for(self, jobs: list[str]) -> None:
        """Raises RuntimeError where one ends otherwise than it should."""

        def ended() -> bool:
            found = self.query(
                "SELECT state, failed, message FROM partstream_job "
                "WHERE id = ANY(%s::uuid[])",
                jobs,
            )
            bad = [row for row in found if row[0] in BAD or row[1]]

            if bad:
                raise RuntimeError(f"A job ended badly: {bad}")

            return all(state == "SUCCESS" for state, _, _ in found)

        until(ended, PATIENCE_SECONDS)


def set_up(environment: Mapping[str, str]) -> None:
    """What flights refer to."""
    subprocess.run(
        [sys.executable, "-c", SETUP],
        cwd=ROOT,
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )


def send(server: Server, path: Path, url: str = CREATE) -> str:
    """The id of the job that a file becomes."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    headers = {"Content-Type": "text/csv", "Prefer": "respond-async"}

    with contextlib.closing(connection), path.open("rb") as file:
        headers["Content-Length"] = str(path.stat().st_size)
        connection.request("POST", url, file, headers)
        response = connection.getresponse()
        body = response.read()

    if response.status != 202:
        raise RuntimeError(f"{response.status}: {body[:500]!r}")

    return str(json.loads(body)["task_id"])


BAD = ("FAILURE", "CANCELLED")


def until(ready: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Raises TimeoutError where it is never so."""
    ends_at = time.monotonic() + seconds

    while not ready():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"Not so after {seconds:g} s.")

        time.sleep(0.02)
