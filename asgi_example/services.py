"""Private servers: PostgreSQL, Redis and MariaDB on free ports of this machine.

Each is a context manager with a directory of its own. Nothing of them remains.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_example import programs
from asgi_example.ports import HOST, free_port
from asgi_example.processes import Process, Site, first_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ("MariaDB", "PostgreSQL", "Redis", "mariadb", "postgresql", "redis")

START_SECONDS = 60.0

#: A server whose data nobody needs after a crash.
FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}

MARIADB_USERS = """\
CREATE USER partstream@'%';
GRANT ALL PRIVILEGES ON *.* TO partstream@'%' WITH GRANT OPTION;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgreSQL:
    """A running server; `user` is its superuser, who needs no password."""

    host: str
    port: int
    user: str
    database: str
    process: Process

    @property
    def environment(self) -> dict[str, str]:
        """What libpq reads."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.database,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """A running server that keeps nothing."""

    host: str
    port: int
    process: Process

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    def kill(self) -> None:
        """End it as `kill -9` does, with all that it holds."""
        self.process.kill()

    def restart(self) -> None:
        """Start it again on the same port, empty."""
        self.process.stop()
        self.process.start()
        _wait_for_redis(self.process)


@dataclass(frozen=True, slots=True, kw_only=True)
class MariaDB:
    """A running server; `user` may do everything and needs no password."""

    host: str
    port: int
    user: str
    process: Process


@contextlib.contextmanager
def postgresql(
    *, durable: bool = False, settings: Mapping[str, str] | None = None
) -> Iterator[PostgreSQL]:
    """A PostgreSQL server; unless `durable` it never waits for the disk.

    `settings` are added to those of its configuration.

    Raises MissingError where it is not installed, StartError with the end of its
    log where it does not start.
    """
    programs_folder = _require("postgresql")

    with Site(account=first_account("postgres", "nobody")) as site:
        data = site.directory / "data"
        environment = _environment(site)
        setup = site.start(
            "initdb",
            [
                programs_folder / "initdb",
                f"--pgdata={data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                f"--locale={'C.UTF-8' if sys.platform == 'linux' else 'C'}",
                "--no-sync",
            ],
            environment=environment,
        )
        setup.finish(seconds=START_SECONDS)

        port = free_port()
        given = {
            "listen_addresses": HOST,
            "port": port,
            "unix_socket_directories": "",
            **({} if durable else FORGETFUL),
            **(settings or {}),
        }
        process = site.start(
            "postgresql",
            [
                programs_folder / "postgres",
                "-D",
                data,
                *(
                    item
                    for key, value in given.items()
                    for item in ("-c", f"{key}={value}")
                ),
            ],
            environment=environment,
            # "Fast": ends sessions, does not wait for them.
            stop_signal=signal.SIGINT,
        )
        process.wait_until(functools.partial(_is_ready, data), seconds=START_SECONDS)

        yield PostgreSQL(
            host=HOST, port=port, user="postgres", database="postgres", process=process
        )


@contextlib.contextmanager
def redis() -> Iterator[Redis]:
    """A Redis server without persistence. Raises as `postgresql()` does."""
    program = _require("redis")

    with Site(account=first_account("redis", "nobody")) as site:
        port = free_port()
        process = site.start(
            "redis",
            [
                program,
                *("--bind", HOST, "--port", str(port), "--daemonize", "no"),
                *("--dir", str(site.directory), "--save", "", "--appendonly", "no"),
            ],
            environment=_environment(site),
        )
        _wait_for_redis(process)

        yield Redis(host=HOST, port=port, process=process)


@contextlib.contextmanager
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server, utf8mb4 throughout. Raises as `postgresql()` does."""
    program = _require("mariadb")
    setup_program = programs.find_mariadb_setup(program)
    assert setup_program is not None  # find_mariadb() has seen it

    with Site(account=first_account("mysql", "nobody")) as site:
        data = site.directory / "data"
        environment = _environment(site)
        setup = site.start(
            "mariadb-install-db",
            [
                setup_program,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
                "--skip-test-db",
            ],
            environment=environment,
        )
        setup.finish(seconds=START_SECONDS)

        port = free_port()
        # Read by the server as whichever user it runs as.
        users = site.directory / "users.sql"
        users.write_text(MARIADB_USERS, encoding="utf-8")
        users.chmod(0o644)
        process = site.start(
            "mariadb",
            [
                program,
                "--no-defaults",
                f"--datadir={data}",
                f"--bind-address={HOST}",
                f"--port={port}",
                f"--socket={site.directory / 'socket'}",
                f"--pid-file={site.directory / 'pid'}",
                f"--init-file={users}",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-use-native-aio=0",
                "--innodb-buffer-pool-size=64M",
            ],
            environment=environment,
        )
        process.wait_until_logged("ready for connections", seconds=START_SECONDS)

        yield MariaDB(host=HOST, port=port, user="partstream", process=process)


def _require(name: str) -> Path:
    found = programs.PROGRAMS[name].find()

    if found is None:
        raise programs.MissingError(programs.missing(name))

    return found


def _environment(site: Site) -> dict[str, str]:
    # Nothing of ours: a PGPORT or PGDATA in it would be obeyed.
    return {
        "PATH": os.defpath,
        "HOME": str(site.directory),
        "TMPDIR": str(site.directory),
        "LC_ALL": "C",
    }


def _is_ready(data: Path) -> bool:
    """Whether the server says so in its pid file, which is where pg_ctl looks."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False

    return len(lines) >= 8 and lines[7].strip() == "ready"


def _wait_for_redis(process: Process) -> None:
    process.wait_until_logged("Ready to accept connections", seconds=START_SECONDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install servers and say which are there."""
    parser = argparse.ArgumentParser(prog="asgi_example.services", description=__doc__)
    parser.add_argument(
        "--install", nargs="+", required=True, choices=tuple(programs.PROGRAMS)
    )
    reasons = programs.install(*parser.parse_args(arguments).install)

    for reason in reasons.values():
        print(reason)

    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
