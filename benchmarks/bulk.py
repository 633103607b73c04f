"""Many rows over HTTP, with all of DRF's validation: against what stores them without
HTTP and without validation, and against those who do the same."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
from typing import TYPE_CHECKING

from . import projects
from .apps.ledger import payloads
from .bulk_asking import MINIMAL, Ask, Asker, Take, payload
from .bulk_peers import PEERS, installed
from .measuring import Figure, Kind, Scale, Series, alternate
from .meter import COSTS, MEMORY
from .servers import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .bulk_peers import Peer
    from .databases import Database

__all__ = ("measure",)

SETTINGS = "benchmarks.apps.ledger_settings"
DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
OPERATIONS = ("create", "upsert", "update", "delete")
#: Of the rows that are sent, each so-manieth is stored before.
STORED = {"create": 0, "upsert": 2, "update": 1, "delete": 1}
GOALS = {
    "create": "0.8 x bulk_create at most; 1.1 x with the full answer",
    "upsert": "0.8 x bulk_create at most; 1.1 x with the full answer",
    "update": "0.8 x bulk_create(update_conflicts) at most",
    "delete": "1.2 x at most",
}
OURS = {
    "create": Ask("POST", "/ours/{table}/"),
    "upsert": Ask("POST", "/ours/{table}/?unique_fields={key}"),
    "update": Ask("PATCH", "/ours/{table}/"),
    "delete": Ask("DELETE", "/ours/{table}/"),
}
PLAIN = {
    "create": Ask("POST", "/drf/{table}/"),
    "upsert": Ask("PUT", "/drf/{table}/"),
    "update": Ask("PATCH", "/drf/{table}/"),
    "delete": Ask("DELETE", "/drf/{table}/"),
}
#: Who is measured: the floor and ours with the least answer; what there is of both;
#: peers that write many rows with one statement; those as well that need several for
#: each row.
BARELY, NOBODY, QUICK, ALL = range(4)


@dataclasses.dataclass(frozen=True, slots=True)
class Cells:
    """Operations on so many rows of a table, beside whom, in how many rounds."""

    table: str
    rows: int
    operations: tuple[str, ...]
    beside: int
    rounds: int = 3
    #: Fewer are not taken but where the section has far too little time.
    least: int = 3


#: What is measured, what matters most first: that is cut least.
CELLS: dict[str, tuple[Cells, ...]] = {
    "postgresql": (
        Cells("transactions", 10_000, ("create",), QUICK, rounds=5),
        Cells("transactions", 10_000, ("upsert",), QUICK, rounds=5),
        # One of the quick peers looks for each row in all that are stored.
        Cells("transactions", 10_000, ("update", "delete"), NOBODY, rounds=5),
        Cells("transactions", 1_000, OPERATIONS, ALL),
        Cells("contracts", 10_000, OPERATIONS, NOBODY, rounds=2, least=1),
        Cells("contracts", 1_000, OPERATIONS, BARELY, rounds=3, least=1),
        Cells("transactions", 100_000, ("create",), NOBODY, rounds=1),
        Cells("transactions", 100_000, ("upsert",), BARELY, rounds=1),
    ),
    "sqlite": (
        Cells("transactions", 10_000, ("create", "upsert"), QUICK),
        Cells("transactions", 10_000, ("update", "delete"), NOBODY, rounds=5),
        Cells("transactions", 1_000, OPERATIONS, QUICK, rounds=2, least=1),
        Cells("contracts", 10_000, ("create", "upsert"), NOBODY, rounds=2, least=1),
        Cells("transactions", 100_000, ("create",), BARELY, rounds=1),
    ),
}
#: Each of the peers needs a server of its own, on each database.
QUICKLY_LEFT_OUT = {peer.package: "the quick form has no time" for peer in PEERS}
#: Of what is measured beside the cells.
ROUNDS = 3
SINGLES = 100
MEMORY_ROWS = (1_000, 10_000, 100_000)


def measure(scale: Scale) -> Iterator[Figure]:
    peers, missing = installed() if scale.is_whole else ([], dict(QUICKLY_LEFT_OUT))
    left_out = "".join(f" Left out: {name}: {why}." for name, why in missing.items())

    for vendor in DATABASES:
        cells = list(_cells(vendor, scale))
        most = max((these.beside for these in cells), default=NOBODY)
        asked = [peer for peer in peers if most >= (ALL if peer.is_slow else QUICK)]

        with _Site.open(vendor, asked) as site:
            for these in cells:
                for operation in these.operations:
                    yield _Cell(site, operation, these).figure(scale, left_out)

            yield from _extras(site, scale)


def _cells(vendor: str, scale: Scale) -> Iterator[Cells]:
    for these in CELLS[vendor]:
        if scale.is_whole:
            yield these
        elif these.rows <= 10_000 * scale.size and these.table == "transactions":
            # Without those who take seconds.
            yield dataclasses.replace(these, beside=min(these.beside, QUICK), least=1)


class _Site:
    """Servers on one database: the floors and ours, plain DRF, and each peer."""

    def __init__(
        self,
        vendor: str,
        database: Database,
        askers: dict[str, Asker],
        peers: list[Peer],
    ) -> None:
        self.vendor = vendor
        self._database = database
        self.askers = askers
        self.peers = peers

    @classmethod
    @contextlib.contextmanager
    def open(cls, vendor: str, peers: list[Peer]) -> Iterator[_Site]:
        with contextlib.ExitStack() as stack:
            opened = (
                projects.postgresql(SETTINGS, durable=True)
                if vendor == "postgresql"
                else projects.sqlite(SETTINGS)
            )
            database = stack.enter_context(opened)
            names = ("floor", "ours", "drf", *(peer.name for peer in peers))
            askers = {
                name: stack.enter_context(_asker(name, database, peers))
                for name in names
            }
            yield cls(vendor, database, askers, peers)

    def fresh(self, name: str) -> contextlib.AbstractContextManager[Asker]:
        """Of a server that has served nothing yet."""
        return _asker(name, self._database, self.peers)

    def reset(self, table: str, rows: int, step: int) -> None:
        query = f"table={table}&count={rows}&step={step}"
        self.askers["floor"].get(f"/floor/reset/?{query}")

    def floor(self, how: str, table: str, rows: int) -> Take:
        query = f"how={how}&table={table}&count={rows}"

        return self.askers["floor"].floor(f"/floor/store/?{query}")


@contextlib.contextmanager
def _asker(name: str, database: Database, peers: list[Peer]) -> Iterator[Asker]:
    environment = dict(database)

    for peer in peers:
        if peer.name == name:
            environment |= {"BENCH_PEER": name, "PYTHONPATH": _path(peer)}

    with (
        serve("ledger_site:application", environment=environment) as server,
        Asker(server, database) as asker,
    ):
        yield asker


def _path(peer: Peer) -> str:
    return os.pathsep.join(filter(None, (peer.folder, os.environ.get("PYTHONPATH"))))


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    """One operation on one table with so many rows."""

    site: _Site
    operation: str
    of: Cells

    @property
    def table(self) -> str:
        return self.of.table

    @property
    def rows(self) -> int:
        return self.of.rows

    def figure(self, scale: Scale, left_out: str) -> Figure:
        takes, kinds, slow = self._takes()
        taken: dict[str, list[Take]] = {name: [] for name in takes}

        for name, take in alternate(
            {name: self._fresh(take) for name, take in takes.items()},
            rounds=min(scale.rounds, self.of.rounds),
            least=self.of.least,
            once=slow,
        ):
            taken[name].append(take)

        return Figure(
            name=f"bulk-{self.site.vendor}-{self.table}-{self.operation}-{self.rows}",
            title=f"{DATABASES[self.site.vendor]}: {self.operation} "
            f"{self.rows:,} {self.table}",
            unit="ms",
            goal=GOALS[self.operation] if self.rows == 10_000 else "",
            note=f"{NOTES[self.operation]}{_told_once(slow)}{left_out}",
            series=[
                Series(
                    label=name,
                    kind=kinds[name],
                    values=[take.seconds * 1e3 for take in of_one],
                    costs=_costs(of_one),
                    statements=of_one[-1].statements,
                )
                for name, of_one in taken.items()
            ],
        )

    def _fresh(self, take: Callable[[], Take]) -> Callable[[], Take]:
        def run() -> Take:
            self.site.reset(self.table, self.rows, STORED[self.operation])

            return take()

        return run

    def _takes(
        self,
    ) -> tuple[dict[str, Callable[[], Take]], dict[str, Kind], list[str]]:
        """The takes, of what kind each is, and those that are too slow to be taken
        more than once."""
        beside = self.of.beside
        slow: list[str] = []
        floor = FLOORS[self.operation]
        takes: dict[str, Callable[[], Take]] = {floor: self._floor(self.operation)}
        kinds: dict[str, Kind] = {floor: "floor"}

        if self.operation == "create" and beside > BARELY:
            takes["COPY, binary"] = self._floor("copy")
            kinds["COPY, binary"] = "floor"

        for peer in self.site.peers:
            if self.operation in peer.asks and beside >= (
                ALL if peer.is_slow else QUICK
            ):
                ask = peer.asks[self.operation]
                label = peer.package.replace("==", " ")
                takes[label], kinds[label] = self._over_http(peer.name, ask), "peer"
                slow += [label] if peer.is_slow else []

        if beside == ALL:
            takes["plain DRF"] = self._over_http("drf", PLAIN[self.operation])
            kinds["plain DRF"] = "peer"
            slow.append("plain DRF")

        ours = OURS[self.operation]

        if self.operation == "delete":
            takes["ours"], kinds["ours"] = self._over_http("ours", ours), "ours"
        else:
            minimal = dataclasses.replace(ours, headers=tuple(MINIMAL.items()))
            takes["ours, minimal"] = self._over_http("ours", minimal)
            kinds["ours, minimal"] = kinds["ours, full answer"] = "ours"

            if beside > BARELY:
                takes["ours, full answer"] = self._over_http("ours", ours)

        if self.site.vendor == "sqlite":
            takes.pop("COPY, binary", None)

        return takes, kinds, slow

    def _floor(self, how: str) -> Callable[[], Take]:
        return lambda: self.site.floor(how, self.table, self.rows)

    def _over_http(self, name: str, ask: Ask) -> Callable[[], Take]:
        path = ask.path.format(
            table=self.table, key=",".join(payloads.KEYS[self.table])
        )
        body = payload(
            self.operation, self.table, self.rows, as_objects=ask.keys_as_objects
        )
        asker = self.site.askers[name]

        return lambda: asker.take(ask, path, body)


FLOORS = {
    "create": "bulk_create, ready instances",
    "upsert": "bulk_create(update_conflicts)",
    "update": "bulk_create(update_conflicts) by id",
    "delete": "filter(pk__in=…).delete()",
}
NOTES = {
    "create": "Into an empty table.",
    "upsert": "Every other row is stored, with other values.",
    "update": "By id; all columns are sent, two to four of them have changed.",
    "delete": "By id.",
}


def _told_once(slow: list[str]) -> str:
    if not slow:
        return ""

    return f" Once alone, since each row costs several statements: {', '.join(slow)}."


def _costs(takes: list[Take]) -> dict[str, list[float]]:
    return {
        what: [take.costs[what] for take in takes]
        for what in COSTS
        if what in takes[0].costs
    }


def _extras(site: _Site, scale: Scale) -> list[Figure]:
    rows = scale.count(10_000)
    rounds = min(scale.rounds, ROUNDS)

    return [
        _validation(site, scale.count(1_000), rounds, "transactions"),
        _bad_rows(site, rows, rounds),
        _single_row(site, scale.count(SINGLES), rounds),
        *([_memory(site)] if scale.is_whole and site.vendor == "postgresql" else []),
    ]


def _memory(site: _Site) -> Figure:
    """Of servers of their own, since a process keeps what it had once."""
    create = OURS["create"]
    asked = {
        "ours, minimal": (
            "ours",
            dataclasses.replace(create, headers=tuple(MINIMAL.items())),
        ),
        "ours, full answer": ("ours", create),
    }
    series: list[Series] = []

    for rows in MEMORY_ROWS:
        body = payload("create", "transactions", rows)

        for label, (name, ask) in asked.items():
            site.reset("transactions", rows, 0)
            site.reset("contracts", 1, 0)

            with site.fresh(name) as asker:
                # What is loaded with the first request is not the upload's.
                first = payload("create", "contracts", 1)
                asker.take(ask, ask.path.format(table="contracts"), first)
                taken = asker.take(ask, ask.path.format(table="transactions"), body)

            mib = [taken.costs[MEMORY]]
            series.append(
                Series(
                    label=f"{rows:,} rows, {len(body) / 2**20:.1f} MiB: {label}",
                    kind="ours",
                    values=mib,
                )
            )

    return Figure(
        name="bulk-memory",
        title="PostgreSQL: memory that an upload takes",
        unit="MiB",
        note="A JSON array of transactions: the peak of the server's process during "
        "the request, less what it had before it. Each is the second request to a "
        "server of its own, once.",
        series=series,
    )


def _validation(site: _Site, rows: int, rounds: int, table: str) -> Figure:
    def take(name: str, how: str) -> Callable[[], float]:
        query = f"how={how}&table={table}&count={rows}"

        return lambda: site.askers[name].get(f"/floor/validate/?{query}")["seconds"]

    site.reset(table, rows, 0)
    values: dict[str, list[float]] = {"DRF, many=True": [], "ours": []}
    takes = {"DRF, many=True": take("drf", "drf"), "ours": take("ours", "ours")}

    for name, seconds in alternate(takes, rounds=rounds):
        values[name].append(rows / seconds)

    return Figure(
        name=f"bulk-{site.vendor}-validation",
        title=f"{DATABASES[site.vendor]}: validation alone",
        unit="rows per second",
        better="higher",
        goal="60 x DRF at least",
        note=f"{rows:,} {table}, into an empty table, nothing written.",
        series=[
            Series(label=name, kind="ours" if name == "ours" else "peer", values=of_one)
            for name, of_one in values.items()
        ],
    )


def _bad_rows(site: _Site, rows: int, rounds: int) -> Figure:
    ask = Ask(
        "POST", "/ours/{table}/", (("Prefer", "handling=lenient, return=minimal"),)
    )
    bodies = {
        f"ours, {share} % bad": _with_bad("transactions", rows, share)
        for share in (0, 1, 10, 100)
    }

    def take(body: bytes) -> Callable[[], Take]:
        def run() -> Take:
            site.reset("transactions", rows, 0)

            return site.askers["ours"].take(ask, "/ours/transactions/", body)

        return run

    values: dict[str, list[float]] = {name: [] for name in bodies}
    takes = {name: take(body) for name, body in bodies.items()}

    for name, taken in alternate(takes, rounds=rounds):
        values[name].append(taken.seconds * 1e3)

    return Figure(
        name=f"bulk-{site.vendor}-bad-rows",
        title=f"{DATABASES[site.vendor]}: bad rows among {rows:,}",
        unit="ms",
        goal="10 % of them: 2 x a clean batch at most",
        note="Lenient: the good rows are stored, each bad one is named in the answer.",
        series=[
            Series(label=name, kind="ours", values=of_one)
            for name, of_one in values.items()
        ],
    )


def _with_bad(table: str, rows: int, share: int) -> bytes:
    sent = [payloads.row(table, number, version=1) for number in range(rows)]

    for number in range(rows) if share else ():
        if number * share % 100 < share:
            sent[number]["amount"] = "a lot"

    return json.dumps(sent).encode()


def _single_row(site: _Site, count: int, rounds: int) -> Figure:
    names = {"plain DRF": ("drf", "/drf/{}/"), "ours": ("ours", "/ours/{}/")}
    values: dict[str, list[float]] = {name: [] for name in names}
    numbers = iter(range(100_000_000))
    site.reset("transactions", 0, 0)

    def take(name: str, path: str) -> Callable[[], float]:
        ask, where = Ask("POST", path), path.format("transactions")

        def run() -> float:
            return statistics.median(
                site.askers[name].seconds(
                    ask, where, _one("transactions", next(numbers))
                )
                for _ in range(count)
            )

        return run

    takes = {label: take(*where) for label, where in names.items()}

    for run in takes.values():
        run()

    for name, seconds in alternate(takes, rounds=rounds):
        values[name].append(seconds * 1e3)

    return Figure(
        name=f"bulk-{site.vendor}-one-row",
        title=f"{DATABASES[site.vendor]}: POST of one row",
        unit="ms",
        goal="1.05 x plain DRF at most",
        note=f"An object, not an array; each value is the median of {count} requests.",
        series=[
            Series(
                label=name, kind="ours" if name == "ours" else "floor", values=of_one
            )
            for name, of_one in values.items()
        ],
    )


def _one(table: str, number: int) -> bytes:
    return json.dumps(payloads.row(table, number)).encode()
