"""A file as a job on a worker, validated, exactly once, against COPY of that file."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING

from .flights import YEAR_ROWS
from .job_site import JobSite
from .measuring import Figure, Scale, Series, alternate, exponent
from .meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .servers import Server

__all__ = ("measure",)

#: So many flights; the largest are the year and a million.
SIZES = (10_000, 30_000, 100_000, YEAR_ROWS, 1_000_000)
#: How often each is loaded, at most, and how often as long as there is any time.
ROUNDS = (3, 1, 1, 3, 1)
LEAST = (3, 1, 1, 1, 1)

FLOOR, OURS, WORK = (
    "COPY",
    "ours, from the request on",
    "ours, from a worker's claim on",
)

NOTE = (
    "PostgreSQL with fsync, three foreign keys, a unique constraint over three "
    "columns, no bad row. COPY is one transaction and validates nothing. Ours is a "
    "POST with `Prefer: respond-async` to uvicorn, a job on one `partstream_worker` "
    "over arq, each row validated by a ModelSerializer, commits of about a second."
)


def measure(scale: Scale) -> Iterator[Figure]:
    is_whole = scale.size == 1
    # The year and the million are for the whole form.
    sizes = [scale.count(size) for size in (SIZES if is_whole else SIZES[:-2])]
    seconds: dict[tuple[int, str], list[float]] = defaultdict(list)
    memory: dict[tuple[int, str], list[float]] = defaultdict(list)

    with (
        JobSite.open() as site,
        site.server() as server,
        site.workers(1) as (worker,),
    ):
        # Goes ahead, and makes what is made but once.
        _load(site, sizes[0], server, worker, Meter(server, worker))

        for size, rounds, least in zip(sizes, ROUNDS, LEAST, strict=False):
            meters = {
                FLOOR: Meter(database=site.database, counts=False),
                OURS: Meter(server, worker, database=site.database),
            }
            takes = {
                FLOOR: functools.partial(_copy, site, size, meters[FLOOR]),
                OURS: functools.partial(
                    _load, site, size, server, worker, meters[OURS]
                ),
            }

            for _, taken in alternate(
                takes, rounds=rounds if is_whole else 1, least=least
            ):
                for what, value in taken.items():
                    kept = memory if what in PROCESSES else seconds
                    kept[size, what].append(value)

            yield _against_copy(size, seconds, meters)

    yield _growth(sizes, seconds)
    yield _memory(sizes, memory)


PROCESSES = ("worker", "server")


def _copy(site: JobSite, size: int, meter: Meter) -> Mapping[str, float]:
    path = site.files.first(size)
    site.forget()

    return {FLOOR: meter.watch(lambda: site.copy(path))}


def _load(
    site: JobSite, size: int, server: Server, worker: Server, meter: Meter
) -> Mapping[str, float]:
    path = site.files.first(size)
    site.forget()
    before = {"worker": worker.rss_kib, "server": server.rss_kib}
    loaded = meter.watch(lambda: site.load(server, path))

    if loaded.rows != size:
        raise RuntimeError(f"{loaded.rows} of {size} rows were written.")

    return {
        OURS: loaded.seconds,
        WORK: loaded.work_seconds,
        "worker": max(0, worker.peak_kib - before["worker"]) / 1024,
        "server": max(0, server.peak_kib - before["server"]) / 1024,
    }


def _against_copy(
    size: int,
    seconds: Mapping[tuple[int, str], list[float]],
    meters: Mapping[str, Meter],
) -> Figure:
    return Figure(
        name=f"jobs-{size}",
        title=f"A job of {size:,} flights",
        unit="s",
        goal="1.5 x COPY at most",
        note=NOTE,
        series=[
            Series(
                label=label,
                kind="floor" if label == FLOOR else "ours",
                values=seconds[size, label],
                costs=meters[label].costs(len(seconds[size, label]))
                if label in meters
                else {},
                statements=meters[label].statements() if label in meters else (),
            )
            for label in (FLOOR, OURS, WORK)
        ],
    )


def _growth(
    sizes: Sequence[int], seconds: Mapping[tuple[int, str], list[float]]
) -> Figure:
    series = [
        Series(
            label=f"{size:,} rows",
            kind="ours",
            values=[taken / size * 1e6 for taken in seconds[size, OURS]],
        )
        for size in sizes
    ]
    told = "; ".join(
        f"{label} grows with the {power:.2f}th power of the rows"
        for label in (FLOOR, OURS)
        if (power := exponent(sizes, [_median(seconds[s, label]) for s in sizes]))
    )

    return Figure(
        name="jobs-growth",
        title="What a row of a job costs, by the rows of the job",
        unit="µs",
        goal="the same for every size",
        note=f"From the request on, as above. {told}.",
        series=series,
    )


def _memory(
    sizes: Sequence[int], memory: Mapping[tuple[int, str], list[float]]
) -> Figure:
    return Figure(
        name="jobs-memory",
        title="Memory that a job takes beside what is there before",
        unit="MiB",
        goal="64 MiB at most, the same for every size",
        note="The peak of the process during the job, less what it had before it.",
        series=[
            Series(
                label=f"{process}, {size:,} rows",
                kind="ours",
                values=memory[size, process],
            )
            for process in PROCESSES
            for size in sizes
        ],
    )


def _median(values: Sequence[float]) -> float:
    return Series(label="", kind="ours", values=values).median
