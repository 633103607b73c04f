"""`make test`: every check and every test, whatever fails on the way.

With names of steps, only these: `python -m tests.run mypy postgresql`. Two steps run
at once, and what one of them prints comes in one piece when it has ended.

The order of the tests is one of many, and the same each time; `SEED=7 make test` takes
another, and the long form always a new one. Where one test or a few failed, these run
once more by themselves: a machine may stand still for a moment. Those that pass then
are named below the last step. With `--strict`, or in the long form, none may fail.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import argparse
import contextlib
import json
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

import pytest

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
    #: Whether it is pytest, of which a test or a few can be run again.
    is_pytest: bool = False


#: Of more the machine is not the reason.
MAX_SECOND_TRIES = 3

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

SEED = os.environ.get("SEED") or ("default" if forms.LONG else "20261121")


def tests(marked: str, *arguments: str) -> list[str]:
    return python("pytest", "-m", marked, f"--randomly-seed={SEED}", *arguments)


#: What is quickest tells first; then the longest begins, so that both lanes end
#: together.
STEPS = (
    Step(name="ruff", command=python("ruff", "check", ".")),
    Step(name="format", command=python("ruff", "format", "--check", ".")),
    Step(name="imports", command=[sys.executable, "-c", LINT_IMPORTS]),
    Step(
        name="sqlite",
        command=tests(f"not ({SYSTEM})", *COVERAGE, *SLOWEST),
        environment=DEVELOPMENT,
        is_pytest=True,
    ),
    Step(name="system", command=tests(SYSTEM, *SLOWEST), is_pytest=True),
    Step(
        name="postgresql",
        command=tests("database"),
        server=on_postgresql,
        needs="postgresql",
        is_pytest=True,
    ),
    Step(
        name="mariadb",
        command=tests("database"),
        server=on_mariadb,
        needs="mariadb",
        is_pytest=True,
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
    parser.add_argument(
        "--strict",
        action="store_true",
        default=forms.LONG,
        help="a test that fails is not run again",
    )
    options = parser.parse_args(arguments)
    chosen = options.steps or names
    unknown = sorted(set(chosen) - set(names))

    if unknown:
        parser.error(f"no step {unknown[0]!r}; there are {', '.join(names)}")

    started = time.monotonic()
    programs.install(*programs.PROGRAMS)
    npm.install()

    with tempfile.TemporaryDirectory(prefix="partstream-run-") as directory:
        notes = Path(directory) / "notes"
        notes.touch()
        tries = 1 if options.strict else 2
        steps = [step for step in STEPS if step.name in chosen]

        with ThreadPoolExecutor(options.at_once) as lanes:
            results = list(lanes.map(lambda step: run(step, notes, tries), steps))

        lines = dict.fromkeys(notes.read_text(encoding="utf-8").splitlines())

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


def run(step: Step, notes: Path, tries: int) -> Result:
    """Run one step, and print what it said when it has ended. What is to be said once
    more at the end is added to the notes."""
    started = time.monotonic()
    reason = programs.missing(step.needs) if step.needs else None

    if reason is not None:
        said = f"left out: {step.name} ({reason})\n"
        outcome = "FAILED" if everything_is_required() else "left out"

        with notes.open("a", encoding="utf-8") as file:
            file.write(said)
    else:
        try:
            with step.server() as environment:
                code, said = execute(step, environment, notes, tries)
        except StartError as error:
            said, outcome = f"{error}\n", "FAILED"
        else:
            outcome = "FAILED" if code else "passed"

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


def execute(
    step: Step, environment: Mapping[str, str], notes: Path, tries: int
) -> tuple[int, str]:
    """The exit code and what was printed."""
    variables = {
        **inherited(),
        "PARTSTREAM_LEFT_OUT": str(notes),
        **step.environment,
        **environment,
    }

    if not step.is_pytest:
        return call(step.command, variables)

    with tempfile.TemporaryDirectory(prefix="partstream-cache-") as cache:
        command = [*step.command, f"--override-ini=cache_dir={cache}"]
        code, said = call(command, variables)
        failed = (
            last_failed(Path(cache)) if code == pytest.ExitCode.TESTS_FAILED else []
        )

        if tries == 1 or not 0 < len(failed) <= MAX_SECOND_TRIES:
            return code, said

        code, said_again = call([*command, "--last-failed"], variables)

    if code == pytest.ExitCode.OK:
        with notes.open("a", encoding="utf-8") as file:
            file.writelines(f"passed at the second try only: {one}\n" for one in failed)

    return code, said + said_again


def call(
    command: Sequence[str | Path], variables: Mapping[str, str]
) -> tuple[int, str]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=variables,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )

    return done.returncode, done.stdout


def last_failed(cache: Path) -> list[str]:
    """What pytest keeps of its last run: the ids of the tests that failed."""
    found = cache / "v" / "cache" / "lastfailed"

    return sorted(json.loads(found.read_bytes())) if found.exists() else []


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
