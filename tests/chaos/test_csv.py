"""Real files through real serializers, by workers that are killed: the table and the
outcome are those of one run that nobody disturbed."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from django_partstream.jobs import states
from django_partstream.models import Job, State
from tests.app.models import Account, Contract
from tests.chaos.arena import Arena
from tests.forms import LONG, count

pytestmark = pytest.mark.chaos

PARTSTREAM = {"QUEUE": "tests.chaos.quick.QuickQueue", "BATCH_SIZE": 50}
ROWS = count(2000, 20_000)
KILLS = count(2, 20)
WORKERS = 2

Table = Counter[tuple[Any, ...]]


class Inserts:
    """Rows without a key: one that is written twice is there twice."""

    address = "/chaos/accounts/"

    @staticmethod
    def line(number: int) -> str:
        # Every ninth has no name.
        return f"{'' if number % 9 == 0 else f'account {number % 700}'},tenant\n"

    @classmethod
    def file(cls) -> str:
        return "name,tenant\n" + "".join(map(cls.line, range(1, ROWS + 1)))

    @staticmethod
    def prepare() -> None:
        Account.objects.all().delete()

    @staticmethod
    def table() -> Table:
        return Counter(Account.objects.values_list("name", "tenant"))


class Upserts:
    """Rows of which some are there, some new, and some come again with other values;
    each is told of as created, updated or unchanged."""

    address = "/api/contracts/?unique_fields=number"

    @staticmethod
    def line(number: int) -> str:
        year = "no year" if number % 9 == 0 else 1900 + number % 200

        return f"C{number % (ROWS // 2)},{year},{number % 50}.50\n"

    @classmethod
    def file(cls) -> str:
        return "number,year,amount\n" + "".join(map(cls.line, range(1, ROWS + 1)))

    @staticmethod
    def prepare() -> None:
        Contract.objects.all().delete()
        Contract.objects.bulk_create(
            Contract(number=f"C{number}", year=1900 + number % 200, amount=Decimal(1))
            for number in range(0, ROWS // 2, 3)
        )

    @staticmethod
    def table() -> Table:
        return Counter(Contract.objects.values_list("number", "year", "amount"))


# Each database and each way; the other two pairs in the long form.
@pytest.fixture(
    params=[
        ("sqlite", Upserts),
        ("postgresql", Inserts),
        *([("sqlite", Inserts), ("postgresql", Upserts)] if LONG else []),
    ],
    ids=lambda pair: f"{pair[0]}-{pair[1].__name__.lower()}",
)
def pair(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def kind(pair: Any) -> str:
    return str(pair[0])


@pytest.fixture
def way(pair: Any) -> Any:
    return pair[1]


def test_a_file_is_done_once_however_often_its_workers_are_killed(
    chosen_arena: Arena, way: Any, tmp_path: Path
) -> None:
    arena = chosen_arena
    file = tmp_path / "rows.csv"
    file.write_text(way.file(), encoding="utf-8")

    way.prepare()
    clean = submitted(arena, way, file)
    assert arena.end(arena.worker(partstream=PARTSTREAM, options={"once": True})) == 0
    wanted, told = way.table(), outcome(arena, clean)
    assert told["failed"] == ROWS // 9

    way.prepare()
    job = submitted(arena, way, file)
    # It cannot end before the last kill.
    go_on = tmp_path / "go-on"
    holds = {"at": ROWS * (KILLS + 1) // (KILLS + 2), "until": str(go_on)}
    order = {"partstream": PARTSTREAM, "holds": holds}
    workers = [arena.worker(**order) for _ in range(WORKERS)]

    for number in range(1, KILLS + 1):
        enough = ROWS * number // (KILLS + 2)
        arena.until(lambda enough=enough: arena.fresh(job).current > enough)
        workers.remove(victim := holder(arena, job, workers))
        arena.kill(victim)
        workers.append(arena.worker(**order))

    go_on.touch()
    arena.wait(job)
    arena.stop(workers)

    assert way.table() == wanted
    assert outcome(arena, job) == told
    arena.verify_ledger(arena.fresh(job))
    # Who was killed between its claim and its word of it took over too.
    assert arena.fresh(job).epoch > KILLS
    assert arena.takeovers(job) >= 1
    arena.note(f"{KILLS} kills in a file of {ROWS} rows", [job])
    way.prepare()


def submitted(arena: Arena, way: Any, file: Path) -> Job:
    asked = arena.start("post", address=way.address, file=str(file))
    assert arena.end(asked) == 0, arena.logged()

    return states.jobs().latest("created_at")


def holder(arena: Arena, job: Job, workers: list[Any]) -> Any:
    """Who has the job; it may be between two."""
    found: list[Any] = []

    def look() -> bool:
        fresh = arena.fresh(job)
        assert not State(fresh.state).terminal
        pid = fresh.worker.split(":")[1]
        found[:] = [worker for worker in workers if str(worker.pid) == pid]

        return bool(found)

    arena.until(look)

    return found[0]


def outcome(arena: Arena, job: Job) -> dict[str, Any]:
    fresh = arena.fresh(job)
    assert fresh.state == State.SUCCESS, (fresh.message, arena.logged())
    names = ("total", "current", "created", "updated", "unchanged", "deleted", "failed")

    return {name: getattr(fresh, name) for name in names}
