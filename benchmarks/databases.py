"""The database of a benchmark: how to reach it, what it does, and what that costs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from asgi_example import programs

from .servers import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("COUNTED", "PRELOADED", "Database", "Statement", "can_count")

#: What PostgreSQL counts its statements with.
MODULE = "pg_stat_statements"
#: Nothing is counted but of those who ask for it. It costs a microsecond for each
#: statement, and rows of a bulk_create have two each when its foreign keys are checked.
PRELOADED = {"shared_preload_libraries": MODULE, f"{MODULE}.track": "none"}
COUNTED = {"PGOPTIONS": f"-c {MODULE}.track=top"}
ADDRESS = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
CALLS = f"SELECT coalesce(sum(calls), 0)::bigint FROM {MODULE}"
MOST = (
    f"SELECT calls, total_exec_time, rows, query FROM {MODULE} "
    "ORDER BY total_exec_time DESC LIMIT %s"
)


def can_count() -> bool:
    """Whether this machine's PostgreSQL has the module (often a package of its own)."""
    programs_folder = programs.find_postgresql()

    return programs_folder is not None and any(
        programs_folder.resolve().parent.glob(f"lib*/**/{MODULE}.*")
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    calls: int
    milliseconds: float
    rows: int
    text: str


class Database(dict[str, str]):
    """The environment of those who use a database. Of PostgreSQL it can tell what its
    processes have cost, and what statements they have run."""

    def __init__(self, environment: Mapping[str, str], pid: int | None = None) -> None:
        super().__init__(environment)
        self._pid = pid
        self._counts = environment.items() >= COUNTED.items()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        if self._pid is not None:
            self._connection = psycopg.connect(**self.address, autocommit=True)

            if self._counts:
                self._connection.execute(f"CREATE EXTENSION IF NOT EXISTS {MODULE}")

        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    @property
    def address(self) -> dict[str, Any]:
        """As psycopg takes it."""
        return {name: self[key] for key, name in ADDRESS.items() if key in self}

    @property
    def cpu_seconds(self) -> float | None:
        """Of the server with all that serve its clients, but for us who ask; None
        where the database is in the process that uses it."""
        if self._pid is None or self._connection is None:
            return None

        asking = self._connection.info.backend_pid
        spent = cpu_seconds(self._pid) + _of_those_that_ended(self._pid)

        for child in _children(self._pid):
            if child != asking:
                try:
                    spent += cpu_seconds(child)
                except OSError:
                    # It has just ended.
                    continue

        return spent

    def forget_statements(self) -> None:
        if self._connection is not None and self._counts:
            self._connection.execute(f"SELECT {MODULE}_reset()")

    def statements(self) -> int | None:
        """How many there were since they were forgotten; None where nobody counts."""
        if self._connection is None or not self._counts:
            return None

        row = self._connection.execute(CALLS).fetchone()
        assert row is not None  # a sum has one

        return int(row[0])

    def most_expensive(self, count: int) -> list[Statement]:
        """Those that took longest since they were forgotten."""
        if self._connection is None or not self._counts:
            return []

        found = self._connection.execute(MOST, [count]).fetchall()

        return [Statement(*row) for row in found]


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")

    return [int(child) for child in text.split()]


def _of_those_that_ended(pid: int) -> float:
    """CPU of children that were waited for, to a hundredth of a second."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()

    return (int(fields[13]) + int(fields[14])) / 100
