"""`make bench`: measure, say what was measured, write results, plots and the page.

    python -m benchmarks                    everything, a quarter of an hour or so
    python -m benchmarks --quick            less of everything, under two minutes
    python -m benchmarks --only fan-out     these alone

The whole form writes into `benchmarks/`; the others only where `--output` says.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import programs

from . import report
from .measuring import Figure, Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).resolve().parent

#: In the order in which the page shows them. Each module has `measure(scale)`.
BENCHMARKS = {
    "first-frame": "first_frame",
    "crowd": "crowd",
    "browser": "browser",
    "six-parts": "six_parts",
    "items": "items",
    "parts": "parts",
    "idle": "idle",
    "fan-out": "fanout",
    "bulk": "bulk",
    "jobs": "jobs",
    "job-workers": "job_workers",
    "job-latency": "job_latency",
}

WHOLE = Scale(rounds=9, size=1.0)
QUICK = Scale(rounds=3, size=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="under two minutes")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS)
    )
    parser.add_argument("--output", type=Path, help="a folder for results and plots")
    options = parser.parse_args(arguments)

    if sys.platform != "linux":
        print("The cost of a server is read from /proc: this needs Linux.")
        return 1

    programs.install("redis", "postgresql")
    scale = QUICK if options.quick else WHOLE
    output = options.output or (None if options.quick else FOLDER / "results")
    started = time.monotonic()

    for name in BENCHMARKS:
        if name in options.only:
            run(name, scale, output)

    if output == FOLDER / "results":
        report.write_page(FOLDER / "README.md", output, list(BENCHMARKS))

    print(f"{time.monotonic() - started:.0f} s")
    return 0


def run(name: str, scale: Scale, output: Path | None) -> list[Figure]:
    """Measure one benchmark and show what came of it."""
    about = report.environment()
    module = importlib.import_module(f"benchmarks.{BENCHMARKS[name]}")
    figures: list[Figure] = module.measure(scale)

    for figure in figures:
        print(*report.lines(figure), "", sep="\n", flush=True)

    if output is not None:
        # Only those who want plots need matplotlib.
        from . import plots

        report.write_results(output, name, figures, about)

        for figure in figures:
            plots.draw(figure, output)

    return figures


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
