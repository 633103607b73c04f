"""`make test`: every check and every test, whatever fails on the way.

With names of steps, only these: `python -m tests.run mypy postgresql`. Two steps run
at once, and what one of them prints comes in one piece when it has ended.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_example import programs, services
from asgi_example.processes import StartError
from tests import forms, npm
from tests.conftest import everything_is_required

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).resolve().parent.parent

# Not the script in the environment, which names the folder where it was made.
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as run; run()"


@contextlib.contextmanager
def no_server() -> Iterator[dict[str, str]]:
    yield {}


@contextlib.contextmanager
def on_postgresql() -> Iterator[dict[str, str]]:
    with services.postgresql() as server:
        yield {"TEST_DATABASE": "postgresql", **server.environment}


@contextlib.contextmanager
def on_mariadb() -> Iterator[dict[str, str]]:
    with services.mariadb() as server:
        yield {
            "TEST_DATABASE": "mariadb",
            "MYSQL_HOST": server.host,
            "MYSQL_TCP_PORT": str(server.port),
            "MYSQL_USER": server.user,
        }


@dataclass(frozen=True, kw_only=True)
class Step:
    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    #: What has to be up, and what it adds to the environment.
    server: Callable[[], AbstractContextManager[dict[str, str]]] = no_server
    #: The program without which the step is left out.
    needs: str | None = None


#: Steps end in any order; each prints in one piece.
PRINTING = threading.Lock()


def python(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


#: Tests of whole processes and large files, where coverage would see nothing or take
#: as long again.
SYSTEM = "browser or chaos or full or large"

#: Each makes tests a sixth to a quarter slower. What is left open is an error always.
COVERAGE = ("--cov", "--cov-report=term") if forms.LONG else ()
DEVELOPMENT = {"PYTHONDEVMODE": "1"} if forms.LONG else {}

#: So that what makes the run long is seen.
SLOWEST = ("--durations=15", "--durations-min=3")

#: What is quickest tells first; then the longest begins, so that both lanes end
#: together.
STEPS = (
    Step(name="ruff", command=python("ruff", "check", ".")),
    Step(name="format", command=python("ruff", "format", "--check", ".")),
    Step(name="imports", command=[sys.executable, "-c", LINT_IMPORTS]),
    Step(
        name="sqlite",
        command=python("pytest", "-m", f"not ({SYSTEM})", *COVERAGE, *SLOWEST),
        environment=DEVELOPMENT,
    ),
    Step(name="system", command=python("pytest", "-m", SYSTEM, *SLOWEST)),
    Step(
        name="postgresql",
        command=python("pytest", "-m", "database"),
        server=on_postgresql,
        needs="postgresql",
    ),
    Step(
        name="mariadb",
        command=python("pytest", "-m", "database"),
        server=on_mariadb,
        needs="mariadb",
    ),
    Step(name="mypy", command=python("mypy")),
    Step(
        name="javascript",
        command=[
            npm.NODE,
            "--test",
            *sorted((ROOT / "tests" / "js").glob("*.test.mjs")),
        ],
    ),
    Step(
        name="migrations",
        command=python("django", "makemigrations", "--check", "--dry-run"),
        environment={"DJANGO_SETTINGS_MODULE": "tests.settings"},
    ),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    name: str
    outcome: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; 0 if none failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [step.name for step in STEPS]
    parser.add_argument("steps", nargs="*", metavar="step", help=", ".join(names))
    parser.add_argument("--at-once", type=int, default=2, help="how many steps")
    options = parser.parse_args(arguments)
    chosen = options.steps or names
    unknown = sorted(set(chosen) - set(names))

    if unknown:
        parser.error(f"no step {unknown[0]!r}; there are {', '.join(names)}")

    started = time.monotonic()
    programs.install(*programs.PROGRAMS)
    npm.install()

    with tempfile.TemporaryDirectory(prefix="partstream-run-") as directory:
        left_out = Path(directory) / "left-out"
        left_out.touch()
        steps = [step for step in STEPS if step.name in chosen]

        with ThreadPoolExecutor(options.at_once) as lanes:
            results = list(lanes.map(lambda step: run(step, left_out), steps))

        lines = dict.fromkeys(left_out.read_text(encoding="utf-8").splitlines())

    print()

    for result in results:
        print(f"{result.outcome:<9} {result.name:<12} {result.seconds:6.1f} s")

    for line in lines:
        print(line)

    totals = Counter(result.outcome for result in results)
    print(
        f"{len(results)} steps: {totals['passed']} passed, {totals['FAILED']} failed, "
        f"{totals['left out']} left out, in {time.monotonic() - started:.0f} s"
    )
    return 1 if totals["FAILED"] else 0


def run(step: Step, left_out: Path) -> Result:
    """Run one step, and print what it said when it has ended."""
    started = time.monotonic()
    reason = programs.missing(step.needs) if step.needs else None

    if reason is not None:
        said = f"left out: {step.name} ({reason})\n"
        outcome = "FAILED" if everything_is_required() else "left out"

        with left_out.open("a", encoding="utf-8") as file:
            file.write(said)
    else:
        try:
            done = execute(step, left_out)
        except StartError as error:
            said, outcome = f"{error}\n", "FAILED"
        else:
            said, outcome = done.stdout, "FAILED" if done.returncode else "passed"

    with PRINTING:
        print(f"\n{step.name}", "-" * (70 - len(step.name)))
        print(said, end="", flush=True)

    return Result(name=step.name, outcome=outcome, seconds=time.monotonic() - started)


def inherited() -> dict[str, str]:
    """Our environment, but for the SQLite file that importing the tests' settings has
    named: steps that run at once must not share one."""
    return {
        name: value for name, value in os.environ.items() if name != "TEST_SQLITE_PATH"
    }


def execute(step: Step, left_out: Path) -> subprocess.CompletedProcess[str]:
    with step.server() as environment:
        return subprocess.run(
            step.command,
            cwd=ROOT,
            env={
                **inherited(),
                "PARTSTREAM_LEFT_OUT": str(left_out),
                **step.environment,
                **environment,
            },
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
