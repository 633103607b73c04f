"""Eight jobs on one to four workers, and how soon a job goes on whose worker died."""

from __future__ import annotations

import functools
import os
import signal
import time
from typing import TYPE_CHECKING

from .flights import YEAR_ROWS
from .job_site import JobSite, until
from .measuring import Figure, Scale, Series, alternate

if TYPE_CHECKING:
    from .servers import Server

__all__ = ("measure",)

JOBS = 8
#: Each job is such a part of the year.
PARTS = 60
#: Of the job whose worker dies: enough for several commits.
RESCUED_ROWS = 100_000
WORKERS = (1, 2, 4)
RESCUE = "a worker that dies"
#: Lease and sweep, by default.
RESCUE_SECONDS = 30.0


def measure(scale: Scale) -> list[Figure]:
    seconds: dict[str, list[float]] = {}
    parts = max(JOBS, round(PARTS / scale.size))

    with JobSite.open() as site, site.server() as server:
        takes = {
            _label(count): functools.partial(_take, site, server, count, parts)
            for count in (WORKERS if scale.size == 1 else WORKERS[:2])
        }

        for name, taken in alternate(takes, rounds=_rounds(scale), least=1):
            seconds.setdefault(name, []).append(taken)

        rescue = functools.partial(_rescue, site, server, scale)
        rescued = [
            taken for _, taken in alternate({RESCUE: rescue}, rounds=_rounds(scale))
        ]

    return [
        Figure(
            name="jobs-workers",
            title=f"{JOBS} jobs of {YEAR_ROWS // parts:,} flights",
            unit="s",
            goal="as near to linear as the cores allow",
            note="Until the last has ended, sent one after the other; workers are "
            f"processes of their own, and share {os.cpu_count()} cores with each "
            "other, PostgreSQL, Redis and the server. The floor is one of ours: the "
            "question is what more of them bring.",
            series=[
                Series(
                    label=name,
                    kind="floor" if name == _label(1) else "ours",
                    values=values,
                )
                for name, values in seconds.items()
            ],
        ),
        Figure(
            name="jobs-rescue",
            title="A worker dies by kill -9: until another has committed",
            unit="s",
            goal="30 s at most, which is a lease and a sweep",
            note="LEASE_SECONDS and SWEEP_SECONDS are what they are by default, 20 and "
            "10.",
            series=[Series(label="from the kill on", kind="ours", values=rescued)],
        ),
    ]


def _rounds(scale: Scale) -> int:
    return 2 if scale.size == 1 else 1


def _label(count: int) -> str:
    return "one worker" if count == 1 else f"{count} workers"


def _take(site: JobSite, server: Server, count: int, parts: int) -> float:
    paths = [site.files.part(number, parts) for number in range(JOBS)]
    site.forget()

    with site.workers(count):
        began = time.perf_counter()
        site.wait_for([site.send(server, path) for path in paths])

        return time.perf_counter() - began


def _rescue(site: JobSite, server: Server, scale: Scale) -> float:
    path = site.files.first(scale.count(RESCUED_ROWS, at_least=30_000))
    site.forget()

    with site.workers(2) as workers:
        job = site.send(server, path)
        state = "SELECT worker, epoch, batches FROM partstream_job WHERE id = %s"
        until(lambda: site.query(state, job)[0][2] > 0)
        [(name, epoch, _)] = site.query(state, job)
        [died] = [worker for worker in workers if str(worker.pid) in name]
        os.kill(died.pid, signal.SIGKILL)
        began = time.perf_counter()
        batches = site.query(state, job)[0][2]
        until(lambda: site.query(state, job)[0][1:] > (epoch, batches))
        seconds = time.perf_counter() - began
        site.wait_for([job])

    return seconds
