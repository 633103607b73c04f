"""What other requests notice of a job that runs in the process that serves them."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import job_site, projects
from .flights import Files
from .measuring import Figure, Scale, Series
from .servers import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Noticed", "measure", "notice", "percentile")

DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
#: An answer out of the database, by a serializer.
ASKED = "/api/airlines/"
PAUSE_SECONDS = 0.01
QUIET_REQUESTS = 300
#: A job that lasts for several commits.
ROWS = 60_000


def measure(scale: Scale) -> Iterator[Figure]:
    rows = scale.count(ROWS)
    requests = scale.count(QUIET_REQUESTS)

    for vendor in DATABASES:
        yield _figure(vendor, rows, requests)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """Milliseconds of requests without a job and during one, and how late the loop
    was meanwhile; seconds of the job."""

    quiet: list[float]
    busy: list[float]
    late: list[float]
    seconds: float


def notice(vendor: str, *, rows: int, requests: int) -> Noticed:
    """Ask so often without a job, then during an embedded one of so many flights."""
    with _site(vendor) as (server, files), _Client(server) as client:
        path = files.first(rows)
        quiet = [client.ask() for _ in range(requests)]
        client.get("/lag/")
        busy, seconds = _during(client, server, path)
        late = [1000 * lag for lag in client.get("/lag/")]

    return Noticed(quiet=quiet, busy=busy, late=late, seconds=seconds)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _figure(vendor: str, rows: int, requests: int) -> Figure:
    noticed = notice(vendor, rows=rows, requests=requests)
    quiet, busy, late = noticed.quiet, noticed.busy, noticed.late

    return Figure(
        name=f"jobs-latency-{vendor}",
        title=f"Other requests during an embedded job, on {DATABASES[vendor]}",
        unit="ms",
        goal="p99 of a request 250 ms at most, of the loop 50 ms",
        note=f"`GET` of 16 rows through a serializer, {1000 * PAUSE_SECONDS:.0f} ms "
        "after the one before, while the same process works on a job of "
        f"{rows:,} flights, which took {noticed.seconds:.0f} s. The loop is asked to "
        "wake up every 10 ms, and how late it does is measured.",
        series=[
            Series(
                label="p99 without a job", kind="floor", values=[percentile(quiet, 99)]
            ),
            Series(
                label="p99 during the job", kind="ours", values=[percentile(busy, 99)]
            ),
            Series(label="the slowest during it", kind="ours", values=[max(busy)]),
            Series(
                label="p50 without a job", kind="floor", values=[percentile(quiet, 50)]
            ),
            Series(
                label="p50 during the job", kind="ours", values=[percentile(busy, 50)]
            ),
            Series(label="loop late, p50", kind="ours", values=[percentile(late, 50)]),
            Series(label="loop late, p99", kind="ours", values=[percentile(late, 99)]),
        ],
    )


@contextlib.contextmanager
def _site(vendor: str) -> Iterator[tuple[Server, Files]]:
    opened = (
        projects.postgresql(job_site.SETTINGS, durable=True)
        if vendor == "postgresql"
        else projects.sqlite(job_site.SETTINGS)
    )

    with opened as database, tempfile.TemporaryDirectory() as folder:
        environment = {**database, "BENCH_QUEUE": "embedded"}
        job_site.set_up(environment)

        with serve("flights_site:application", environment=environment) as server:
            yield server, Files(Path(folder))


class _Client:
    """Asks over one connection."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port)

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()

        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status}\n{body[:500]!r}")

        return json.loads(body)

    def ask(self) -> float:
        """Milliseconds of one answer."""
        began = time.perf_counter()
        self.get(ASKED)
        seconds = time.perf_counter() - began
        time.sleep(PAUSE_SECONDS)

        return 1000 * seconds


def _during(client: _Client, server: Server, path: Path) -> tuple[list[float], float]:
    job = job_site.send(server, path)
    began = time.monotonic()
    took: list[float] = []
    state = "PENDING"

    while state in ("PENDING", "PROGRESS"):
        took += [client.ask() for _ in range(20)]
        state = client.get(f"/api/operations/{job}/status/")["state"]

        if time.monotonic() - began > job_site.PATIENCE_SECONDS:
            raise TimeoutError(f"The job is {state}.")

    if state != "SUCCESS":
        raise RuntimeError(f"The job is {state}.")

    return took, time.monotonic() - began
