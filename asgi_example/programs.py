"""The programs that we use if they are there: how to find them, how to get them.

Servers are never set up or started as services of the system.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = (
    "PROGRAMS",
    "MissingError",
    "Program",
    "find_chromium",
    "find_mariadb",
    "find_postgresql",
    "find_redis",
    "install",
    "missing",
)

HOMEBREW = (Path("/opt/homebrew"), Path("/usr/local"))

# Starts nothing, now or at the next boot: RUNLEVEL is what init scripts go by,
# policy-rc.d what systemd's units go by.
APT_SCRIPT = """
export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\\nexit 101\\n' >$policy
    chmod 755 $policy
fi
apt-get -qq update
for package in "$@"; do
    apt-get -qq install -y --no-install-recommends \\
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$package" >/dev/null || continue
    [ -d /run/systemd/system ] || continue
    for unit in "$package" "${package%-server}"; do
        systemctl disable --quiet "$unit" 2>/dev/null
    done
done
"""


class MissingError(Exception):
    """A program is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    title: str
    find: Callable[[], Path | None]
    #: Its package in Debian and its formula in Homebrew.
    debian: str
    homebrew: tuple[str, ...]


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's programs, 14 or newer."""
    folders = [
        *_folders_of("postgres"),
        *_newest_first(Path("/usr/lib/postgresql").glob("*/bin")),
        *_newest_first(Path("/usr").glob("pgsql-*/bin")),
        *_newest_first(
            folder for brew in HOMEBREW for folder in brew.glob("opt/postgresql*/bin")
        ),
        Path("/Applications/Postgres.app/Contents/Versions/latest/bin"),
    ]
    return next((folder for folder in folders if _is_postgresql(folder)), None)


def find_redis() -> Path | None:
    """Redis, or Valkey, which speaks the same."""
    return _first(_folders(), ("redis-server", "valkey-server"), "v=")


def find_mariadb() -> Path | None:
    """`mariadbd`, beside or near a `mariadb-install-db`."""
    folders = [*_folders(), Path("/usr/sbin"), Path("/usr/libexec")]
    folders += [folder for brew in HOMEBREW for folder in brew.glob("opt/mariadb*/bin")]
    found = _first(folders, ("mariadbd",), "MariaDB")
    return found if found and find_mariadb_setup(found) else None


def find_mariadb_setup(mariadbd: Path) -> Path | None:
    """The `mariadb-install-db` that belongs to `mariadbd`."""
    prefix = mariadbd.resolve().parent.parent
    candidates = [prefix / "bin", prefix / "scripts", *_folders()]
    paths = (folder / "mariadb-install-db" for folder in candidates)
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def find_chromium() -> Path | None:
    """A Chromium or Chrome of the system, or one that Playwright has installed."""
    applications = [Path("/Applications"), Path.home() / "Applications"]
    caches = [Path.home() / ".cache", Path.home() / "Library/Caches"]
    folders = [
        *_folders(),
        *(
            folder / f"{name}.app/Contents/MacOS"
            for folder in applications
            for name in ("Chromium", "Google Chrome")
        ),
        *_newest_first(
            folder
            for cache in caches
            for folder in cache.glob("ms-playwright/chromium-*/chrome-*")
        ),
        *_newest_first(
            folder
            for cache in caches
            for folder in cache.glob("ms-playwright/chromium-*/*/*.app/Contents/MacOS")
        ),
    ]
    names = (
        "chromium",
        "Chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "Google Chrome",
        "Google Chrome for Testing",
        "chrome",
    )
    return _first(folders, names, "Chrom")


PROGRAMS = {
    "postgresql": Program(
        title="PostgreSQL",
        find=find_postgresql,
        debian="postgresql",
        homebrew=("postgresql@17",),
    ),
    "redis": Program(
        title="Redis", find=find_redis, debian="redis-server", homebrew=("redis",)
    ),
    "mariadb": Program(
        title="MariaDB",
        find=find_mariadb,
        debian="mariadb-server",
        homebrew=("mariadb",),
    ),
    "chromium": Program(
        title="Chromium",
        find=find_chromium,
        debian="chromium",
        homebrew=("--cask", "google-chrome"),
    ),
}


def missing(name: str) -> str | None:
    """Why a program is not to be had, and what would help; None if it is there."""
    program = PROGRAMS[name]

    if program.find() is not None:
        return None

    if shutil.which("apt-get"):
        help_ = f"run as root or install {program.debian}"
    elif sys.platform == "darwin":
        help_ = f"brew install {' '.join(program.homebrew)}"
    else:
        help_ = f"install {program.title}"

    return f"no {program.title}; {help_}"


def install(*names: str) -> dict[str, str]:
    """Install what is missing, where we may. What is still missing then, and why."""
    absent = [PROGRAMS[name] for name in names if PROGRAMS[name].find() is None]

    if absent:
        print("Installing", ", ".join(program.title for program in absent), flush=True)
        _install(absent)

    reasons = {name: missing(name) for name in names}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _install(programs: list[Program]) -> None:
    if shutil.which("apt-get"):
        command = ["sh", "-c", APT_SCRIPT, "sh", *(item.debian for item in programs)]

        if os.getuid() == 0:
            _run(command)
        elif _works(["sudo", "-n", "true"]):
            _run(["sudo", "-n", *command])

    elif shutil.which("brew"):
        for program in programs:
            _run(["brew", "install", *program.homebrew])


def _run(command: list[str]) -> None:
    # How far it came is seen by looking for the programs.
    subprocess.run(command, stdin=subprocess.DEVNULL, check=False)


def _works(command: list[str]) -> bool:
    return _output(command) is not None


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=True,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.SubprocessError):
        return None

    return done.stdout


def _folders() -> Iterator[Path]:
    return map(Path, os.get_exec_path())


def _folders_of(program: str) -> Iterator[Path]:
    """Where `program` really is, for each one in PATH."""
    for folder in _folders():
        if os.access(folder / program, os.X_OK):
            yield (folder / program).resolve().parent


def _newest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        paths,
        key=lambda path: [int(number) for number in re.findall(r"\d+", str(path))],
        reverse=True,
    )


def _first(folders: Iterable[Path], names: tuple[str, ...], sign: str) -> Path | None:
    """The first program that runs and says `sign` when asked for its version.

    What has the name may be a wrapper that only says how to install it.
    """
    for folder in folders:
        for name in names:
            path = folder / name

            if not os.access(path, os.X_OK):
                continue

            if sign in (_output([str(path), "--version"]) or ""):
                return path

    return None


def _is_postgresql(folder: Path) -> bool:
    found = {
        program: re.match(
            rf"{program} \(PostgreSQL\) (\d+)",
            _output([str(folder / program), "--version"]) or "",
        )
        for program in ("postgres", "initdb")
    }
    postgres, initdb = found["postgres"], found["initdb"]
    return bool(postgres and initdb and int(postgres[1]) == int(initdb[1]) >= 14)
