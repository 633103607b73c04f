"""`make bench`: measure, say what was measured, write results, plots and the page.

    python -m benchmarks                    everything, a quarter of an hour
    python -m benchmarks --quick            less of everything, two minutes
    python -m benchmarks --only fan-out     these alone
    python -m benchmarks --only bulk --statements
                                            and what PostgreSQL was asked by our takes
    python -m benchmarks --page             draw and write what was measured before

The whole form writes into `benchmarks/`; the others only where `--output` says. What a
section gives is written as it comes: one that fails costs nobody else's results, and
makes the exit code 1.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import programs

from . import bars, bulk_peers, growth, projects, report
from .databases import can_count
from .measuring import LEAST_ROUNDS, Budget, Figure, Scale, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

FOLDER = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, slots=True)
class Benchmark:
    """A module with `measure(scale)`, which gives figures as they come."""

    module: str
    title: str
    #: Seconds that it may take, in the whole form and in the quick one, on two quiet
    #: cores. More rounds than the least are only taken while they last.
    seconds: float
    quick: float


#: In the order in which the page shows them.
BENCHMARKS = {
    "bulk": Benchmark("bulk", "Bulk writes", 280, 25),
    "jobs": Benchmark("jobs", "Jobs", 130, 12),
    "job-workers": Benchmark("job_workers", "Many workers, and one that dies", 60, 0),
    "job-latency": Benchmark("job_latency", "What others notice of a job", 45, 12),
    "first-frame": Benchmark("first_frame", "The first frame", 18, 4),
    "crowd": Benchmark("crowd", "The first frame when many ask at once", 30, 0),
    "six-parts": Benchmark("six_parts", "Six slow parts", 30, 8),
    "browser": Benchmark("browser", "In the browser", 20, 10),
    "items": Benchmark("items", "Streamed items", 12, 4),
    "parts": Benchmark("parts", "Parts that do nothing", 12, 4),
    "idle": Benchmark("idle", "Idle streams", 25, 4),
    "fan-out": Benchmark("fanout", "Fan-out", 50, 10),
}
#: Measured by none of them, but out of what they gave.
GROWTH = "growth"
TITLES = {
    **{name: benchmark.title for name, benchmark in BENCHMARKS.items()},
    GROWTH: "Growth",
}

WHOLE = Scale(rounds=9, size=1.0)
QUICK = Scale(rounds=2, size=0.1)
#: A section that takes so many times its budget, and this longer, is given up; what it
#: gave till then stays.
PATIENCE, GRACE_SECONDS = 2, 60


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)

    if sys.platform != "linux":
        print("The cost of a server is read from /proc: this needs Linux.")
        return 1

    output = options.output or (None if options.quick else FOLDER / "results")

    if options.page:
        _conclude([], FOLDER / "results", draws_all=True)
        return 0

    programs.install("redis", "postgresql", "chromium")

    if options.statements:
        os.environ[projects.COUNT] = "yes"

    if not can_count():
        print("PostgreSQL has no pg_stat_statements: its statements are not counted.")

    scale = QUICK if options.quick else WHOLE
    chosen = options.only or _all(options)

    if "bulk" in chosen and scale.is_whole:
        # Fetching them is nobody's time.
        bulk_peers.installed()

    started = time.monotonic()
    measured = {
        name: run(name, scale, output, with_statements=options.statements)
        for name in BENCHMARKS
        if name in chosen
    }
    _conclude(list(measured.values()), output)
    failed = [section.name for section in measured.values() if section.failure]
    print(f"{time.monotonic() - started:.0f} s")

    if failed:
        print(f"Failed: {', '.join(failed)}.")

    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing, show what was measured"
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS)
    parser.add_argument("--output", type=Path, help="a folder for results and plots")
    parser.add_argument(
        "--statements",
        action="store_true",
        help="print what PostgreSQL spent most time on in the last of our takes; what "
        "foreign keys cost is more than without it",
    )

    return parser


def _all(options: argparse.Namespace) -> list[str]:
    """Those that the form has time for; of the others it says so."""
    if not options.quick:
        return list(BENCHMARKS)

    for name, benchmark in BENCHMARKS.items():
        if not benchmark.quick:
            print(f"{benchmark.title}: takes longer than the quick form has.")
            print(f"    python -m benchmarks --quick --only {name}\n")

    return [name for name, benchmark in BENCHMARKS.items() if benchmark.quick]


def run(
    name: str, scale: Scale, output: Path | None, *, with_statements: bool = False
) -> report.Section:
    """Measure one benchmark and show what comes of it, as it comes."""
    about = report.environment()
    benchmark = BENCHMARKS[name]
    seconds = benchmark.seconds if scale.is_whole else benchmark.quick
    figures: list[Figure] = []
    failure = ""
    before = _children()

    with within(seconds, least=LEAST_ROUNDS if scale.is_whole else 1) as budget:
        try:
            with _given_up_after(PATIENCE * seconds + GRACE_SECONDS):
                module = importlib.import_module(f"benchmarks.{benchmark.module}")

                for figure in module.measure(scale):
                    figures.append(figure)
                    _show(figure, output, with_statements=with_statements)
        except Exception as error:  # the other sections are still to come
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}".splitlines()[0]

    if left := _children() - before:
        failure = failure or f"processes {sorted(left)} were left running"

    section = report.Section(
        name=name,
        about=about,
        figures=figures,
        seconds=budget.spent,
        cuts=budget.cuts,
        failure=failure,
    )
    _tell(section, budget)

    if output is not None:
        report.write(output, section)

    return section


def _show(figure: Figure, output: Path | None, *, with_statements: bool) -> None:
    shown = report.lines(figure, with_statements=with_statements)
    print(*shown, "", sep="\n", flush=True)

    if output is not None:
        # Only those who want plots need matplotlib.
        from . import plots

        output.mkdir(parents=True, exist_ok=True)
        plots.draw(figure, output)


def _tell(section: report.Section, budget: Budget) -> None:
    print(f"{section.name}: {budget.spent:.0f} s of {budget.seconds:.0f} s")

    for cut in section.cuts:
        print(f"  cut to stay in time: {cut}")

    if section.failure:
        print(f"  FAILED: {section.failure}")

    print(flush=True)


def _conclude(
    measured: Sequence[report.Section],
    output: Path | None,
    *,
    draws_all: bool = False,
) -> None:
    """Growth and bars, of what was measured now and of what was written before."""
    sections = report.read(output, list(BENCHMARKS)) if output else list(measured)
    known = {figure.name: figure for one in sections for figure in one.figures}
    grown = growth.measure(known)
    about = sections[-1].about if sections else report.environment()
    sections.append(report.Section(name=GROWTH, about=about, figures=grown))
    known |= {figure.name: figure for figure in grown}
    results = bars.judge(known)

    for figure in grown:
        _show(figure, output, with_statements=False)

    print(*report.bar_lines(results), "", sep="\n", flush=True)

    if output is not None:
        from . import page, plots

        report.write(output, sections[-1])
        plots.draw_bars(results, output)

        for figure in known.values() if draws_all else ():
            plots.draw(figure, output)

        if output == FOLDER / "results":
            _sweep(output, {*known, "bars"})
            page.write(FOLDER / "README.md", output.name, sections, results, TITLES)


def _sweep(folder: Path, names: Iterable[str]) -> None:
    """Leave no plot there of what is not measured any more."""
    kept = {f"{name}{suffix}.svg" for name in names for suffix in ("", "-dark")}

    for path in folder.glob("*.svg"):
        if path.name not in kept:
            path.unlink()


@contextlib.contextmanager
def _given_up_after(seconds: float) -> Iterator[None]:
    """Raises TimeoutError where the scope is not left before."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:.0f} s")

    handler = signal.signal(signal.SIGALRM, give_up)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)

    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        # Who had set it before us, is still waiting.
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _children() -> set[int]:
    """Processes of ours that run."""
    found: set[int] = set()

    for thread in Path("/proc/self/task").iterdir():
        text = (thread / "children").read_text(encoding="utf-8")
        found.update(int(pid) for pid in text.split())

    return {pid for pid in found if _runs(pid)}


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False

    return stat.rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
