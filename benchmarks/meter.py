"""What a take costs beside its time: CPU, memory, statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .databases import Database, Statement
    from .servers import Server

__all__ = ("COSTS", "CPU", "DATABASE_CPU", "LEFT", "MEMORY", "STATEMENTS", "Meter")

CPU = "server CPU, ms"
DATABASE_CPU = "database CPU, ms"
STATEMENTS = "statements"
MEMORY = "peak memory, + MiB"
LEFT = "connections left open"
#: In the order of a table's columns.
COSTS = (CPU, DATABASE_CPU, STATEMENTS, MEMORY, LEFT)
#: Statements of a take that are remembered.
MOST = 8
WIDTH = 160

T = TypeVar("T")


class Meter:
    """Watches some processes, and the database that they use, during takes.

    A take that asks `each` times is charged that part of what it cost, but for its
    memory.
    """

    def __init__(
        self,
        *servers: Server,
        database: Database | None = None,
        each: int = 1,
        counts: bool = True,
    ) -> None:
        self._servers = servers
        self._database = database
        self._each = each
        self._counts = counts
        self._taken: list[dict[str, float]] = []
        self._expensive: list[Statement] = []

    def __call__(self, take: Callable[[], T]) -> Callable[[], T]:
        """The same take, watched."""

        def watched() -> T:
            return self.watch(take)

        return watched

    def watch(self, take: Callable[[], T]) -> T:
        for server in self._servers:
            server.forget_peak()

        if self._database is not None:
            self._database.forget_statements()

        memory = sum(server.rss_kib for server in self._servers)
        database_cpu = self._database.cpu_seconds if self._database else None
        cpu = self._cpu()

        value = take()

        taken: dict[str, float] = {}

        if self._servers:
            peak = sum(server.peak_kib for server in self._servers)
            taken[CPU] = (self._cpu() - cpu) * 1e3 / self._each
            taken[MEMORY] = max(0, peak - memory) / 1024

        if self._database is not None and database_cpu is not None:
            spent = (self._database.cpu_seconds or 0.0) - database_cpu
            taken[DATABASE_CPU] = spent * 1e3 / self._each

            count = self._database.statements() if self._counts else None

            if count is not None:
                taken[STATEMENTS] = count / self._each
                self._expensive = self._database.most_expensive(MOST)

        self._taken.append(taken)

        return value

    def costs(self, count: int) -> dict[str, list[float]]:
        """Of the last `count` takes: those before them warmed up."""
        last = self._taken[-count:]

        return {
            what: [taken[what] for taken in last]
            for what in COSTS
            if last and what in last[0]
        }

    def statements(self) -> Sequence[str]:
        """Of the last take, those that took the database longest."""
        return [
            f"{one.milliseconds:10,.1f} ms {one.calls:8,} calls {one.rows:10,} rows  "
            f"{' '.join(one.text.split())[:WIDTH]}"
            for one in self._expensive
        ]

    def _cpu(self) -> float:
        return sum(server.cpu_seconds for server in self._servers)
