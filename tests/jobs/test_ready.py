"""New rows are made ready for their INSERT while the database writes those before.

What comes of them is what comes of rows that nobody has made ready.
"""

from __future__ import annotations

import random
import zlib
from decimal import Decimal
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client

from django_partstream.bulk.together import Together
from django_partstream.jobs.execute import Pace, SliceEnd
from django_partstream.models import Job, JobBatch, State
from tests.app.models import Account, Contract
from tests.forms import count
from tests.jobs.conftest import Run

ROWS = 60
#: All blocks are one commit.
TOGETHER = Pace(commit=60)
HEADER = "number;year;amount;account"
#: Of texts, MariaDB must be asked which are equal.
MAKES_READY = connection.vendor != "mysql"

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def few(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 10, "QUEUE": "database"}


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each block was written as it was made ready."""
    found: list[bool] = []
    real = Together._run_ready

    def run_ready(self: Together, *args: Any) -> Any:
        outcomes = real(self, *args)
        found.append(outcomes is not None)

        return outcomes

    monkeypatch.setattr(Together, "_run_ready", run_ready)

    return found


def submit(client: Client, lines: list[str], content_type: str = "text/csv") -> Job:
    head = [HEADER] if content_type == "text/csv" else []
    response = client.post(
        "/api/contracts/",
        "\n".join([*head, *lines]),
        content_type=content_type,
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.content

    return Job.objects.get(pk=response.json()["task_id"])


def failures(job: Job) -> list[dict[str, Any]]:
    batches = JobBatch.objects.filter(job=job).order_by("number")
    lines = b"".join(zlib.decompress(b.failures) for b in batches if b.failures)

    return [orjson.loads(line) for line in lines.splitlines()]


def as_json(number: int, account: int) -> str:
    row = {"number": f"C{number}", "year": 2000 + number, "amount": f"{number}.50"}

    return orjson.dumps({**row, "account": account}).decode()


def plain(number: int, account: int | str = "") -> str:
    return f"C{number};{2000 + number};{number}.50;{account}"


@pytest.mark.parametrize(
    ("content_type", "line"),
    [("text/csv", plain), ("application/x-ndjson", as_json)],
)
def test_blocks_are_written_as_they_were_made_ready(
    client: Client, run: Run, ready: list[bool], content_type: str, line: Any
) -> None:
    ann = Account.objects.create(name="Ann")
    job = submit(client, [line(n, ann.pk) for n in range(ROWS)], content_type)

    assert run(job, pace=TOGETHER) is SliceEnd.FINISHED

    # Of the first two blocks, nobody knew what they would refer to.
    assert ready[-4:] == [MAKES_READY] * 4
    stored = Contract.objects.order_by("pk").values_list(
        "number", "year", "amount", "account"
    )
    assert [*stored] == [
        (f"C{number}", 2000 + number, Decimal(f"{number}.5"), ann.pk)
        for number in range(ROWS)
    ]


@pytest.mark.parametrize("seed", range(count(4, 200)))
def test_what_comes_of_them_is_what_comes_of_others(
    client: Client,
    run: Run,
    ready: list[bool],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    chance = random.Random(seed)
    accounts = [Account.objects.create(name=name).pk for name in ("Ann", "Bob")]

    def cell(number: int, right: object, *wrong: object) -> object:
        # The first blocks are good: what is refused once is no longer hoped for.
        is_wrong = number >= 30 and chance.random() < 0.02

        return chance.choice(wrong) if is_wrong else right

    lines = [
        ";".join(
            map(
                str,
                (
                    cell(number, f"C{number}", "", "C1", "C" * 21, f"C{number - 1}"),
                    cell(number, number, "", "-1", "many", 40_000, "NA"),
                    cell(
                        number, chance.choice(["", "1.5", "NA"]), "1.234", "1e99", "nan"
                    ),
                    cell(
                        number, chance.choice([*accounts, "", "NA"]), 10**9, "x", "true"
                    ),
                ),
            )
        )
        for number in range(ROWS)
    ]
    came: list[Any] = []

    for makes_ready in (True, False):
        with monkeypatch.context() as patch:
            if not makes_ready:
                patch.setattr(Together, "make_ready", lambda self, rows: None)

            job = submit(client, lines)
            run(job, pace=TOGETHER)

        job.refresh_from_db()
        stored = Contract.objects.order_by("number").values(
            "number", "year", "amount", "account"
        )
        came.append((job.state, job.created, job.failed, failures(job), [*stored]))
        Contract.objects.all().delete()

        if makes_ready:
            assert any(ready) is MAKES_READY

    assert came[0] == came[1]


def test_rows_whose_object_has_gone_meanwhile_fail_and_the_others_do_not(
    client: Client, run: Run, ready: list[bool]
) -> None:
    ann, bob = (Account.objects.create(name=name) for name in ("Ann", "Bob"))
    lines = [plain(n, bob.pk if n == 45 else ann.pk) for n in range(ROWS)]
    lines[2] = plain(2, bob.pk)
    job = submit(client, lines)

    def on_change(job: Job) -> None:
        if job.current == 20:
            Contract.objects.filter(account=bob).update(account=None)
            bob.delete()

    run(job, on_change=on_change, pace=Pace(commit=0))

    job.refresh_from_db()
    assert (job.state, job.created, job.failed) == (State.SUCCESS, ROWS - 1, 1)
    [failure] = failures(job)
    assert (failure["row"], failure["errors"][0]["code"]) == (46, "does_not_exist")
