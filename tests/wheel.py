"""Builds the package and tries it where nothing else is: `make check-wheel`.

The wheel is made from the sdist, so that both are complete; it is installed into an
empty environment, first alone, then with a server, with which the tutorials are done.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What is easily forgotten, since no test of the sources misses it.
FILES = (
    "django_partstream/py.typed",
    "django_partstream/migrations/0001_initial.py",
    "django_partstream/management/commands/partstream_worker.py",
    "django_partstream/static/django_partstream/partstream.js",
    "django_partstream/static/django_partstream/partstream.d.ts",
    "django_partstream/static/django_partstream/react.js",
    "django_partstream/static/django_partstream/vue.js",
    "django_partstream/static/django_partstream/types.d.ts",
)


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT)
        [wheel] = (folder / "dist").glob("*.whl")
        [sdist] = (folder / "dist").glob("*.tar.gz")
        compare(wheel, sdist)

        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", wheel)
        run(python, ROOT / "tests" / "bare.py")
        run(python, "-m", "pip", "install", "--quiet", "uvicorn[standard]")
        run(python, "-m", "tests.tutorials")


def compare(wheel: Path, sdist: Path) -> None:
    """Everything of the package is in both."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())

    with tarfile.open(sdist) as archive:
        sources = {name.partition("/src/")[2] for name in archive.getnames()}

    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "src/django_partstream"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {name.removeprefix("src/") for name in tracked} | set(FILES)

    for name, found in (("wheel", inside), ("sdist", sources)):
        missing = sorted(expected - found)
        assert not missing, f"not in the {name}: {missing}"

    print(f"{wheel.name}: {len(expected)} files, {wheel.stat().st_size // 1024} KiB")


def run(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
