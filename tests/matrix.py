"""The tests on each Python of this machine with each Django: `make matrix`.

    python -m tests.matrix [3.12 …]

Environments are kept in `var/matrix`. What a Python or a Django does not go with is
left out by name.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.run import SYSTEM

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "matrix"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: Each with the oldest Python that it runs on.
DJANGOS = {"5.2": "3.11", "6.0": "3.12", "6.1": "3.12"}


def main(wanted: list[str]) -> int:
    """Try each pair; 0 if none failed."""
    results = []

    for python in wanted or PYTHONS:
        program = _program(python)

        for django, oldest in DJANGOS.items():
            if program is None:
                outcome = "left out: this Python is not here"
            elif _version(python) < _version(oldest):
                outcome = f"left out: Django {django} wants Python {oldest}"
            else:
                outcome = _try(program, python, django)

            results.append((python, django, outcome))
            print(f"Python {python}, Django {django}: {outcome}", flush=True)

    print("\n| Python | Django | |\n|---|---|---|")

    for row in results:
        print("| " + " | ".join(row) + " |")

    return int(any(outcome == "failed" for _, _, outcome in results))


def _program(python: str) -> str | None:
    """The program of this Python, where there is one that starts: shims may not."""
    program = shutil.which(f"python{python}")

    if program is None:
        return None

    started = subprocess.run([program, "-c", ""], capture_output=True, check=False)

    return None if started.returncode else program


def _try(program: str, python: str, django: str) -> str:
    environment = FOLDER / f"{python}-{django}"
    own = environment / "bin" / "python"

    if not own.exists():
        subprocess.run([program, "-m", "venv", environment], check=True)

    installed = subprocess.run(
        [
            own,
            "-m",
            "pip",
            "install",
            "--quiet",
            "-e",
            ".[test]",
            f"Django=={django}.*",
        ],
        cwd=ROOT,
        check=False,
    )

    if installed.returncode:
        return f"left out: Django {django} is not to be had"

    tested = subprocess.run(
        [own, "-m", "pytest", "-q", "-m", f"not ({SYSTEM})"],
        cwd=ROOT,
        check=False,
    )

    return "failed" if tested.returncode else "passed"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
