"""Many rows answered as NDJSON: lines that are made while they are sent."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction
from django.test import AsyncClient, Client

from tests.app.models import Contract
from tests.app.serializers import ContractSerializer
from tests.forms import count

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

URL = "/api/contracts/"
LINES = {"Accept": "application/x-ndjson"}
ROWS = [{"number": f"C{n}", "year": 2000 + n} for n in reversed(range(8))]


@pytest.fixture(autouse=True)
def small_batches(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 3, "SYNC_MAX_ROWS": 200_000}


def post(rows: Any = ROWS, query: str = "", prefer: str = "", **headers: str) -> Any:
    return Client().post(
        URL + query,
        json.dumps(rows),
        content_type="application/json",
        headers={**LINES, "Prefer": prefer, **headers},
    )


def read(response: Any) -> list[Any]:
    return [json.loads(line) for line in response.getvalue().splitlines()]


def test_the_first_lines_leave_before_the_last_are_made() -> None:
    response = post()

    assert (response.status_code, response["Content-Type"]) == (
        201,
        "application/x-ndjson",
    )
    # Its status is decided: all rows are stored.
    assert Contract.objects.count() == len(ROWS)
    pieces = iter(response)
    first = [json.loads(line) for line in next(pieces).splitlines()]
    assert [row["number"] for row in first] == ["C7", "C6", "C5"]

    # What others do until the next ones are made is seen.
    Contract.objects.filter(number="C4").update(year=1)
    Contract.objects.filter(number="C3").delete()

    rest = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [row and (row["number"], row["year"]) for row in rest] == [
        ("C4", 1),
        None,
        ("C2", 2002),
        ("C1", 2001),
        ("C0", 2000),
    ]


@pytest.mark.parametrize("prefer", ["", "handling=lenient"])
def test_they_say_what_the_array_says(prefer: str) -> None:
    Contract.objects.create(number="C2", year=7)
    rows = [*ROWS, {"number": "C9", "year": "no"}] if prefer else ROWS
    query = "?unique_fields=number"
    array = Client().patch(
        URL + query,
        json.dumps(rows),
        content_type="application/json",
        headers={"Prefer": f"tx=rollback,{prefer}"},
    )

    lines = read(post(rows, query, prefer))

    said = array.json()
    said = said if isinstance(said, list) else [*counts_and_rows(said)]
    assert [without_keys(line) for line in lines] == [without_keys(one) for one in said]


def counts_and_rows(report: dict[str, Any]) -> Any:
    results = report.pop("results")

    return [report, *results]


def without_keys(line: Any) -> Any:
    data = line.get("data")

    return {
        **line,
        "id": 0,
        "pk": 0,
        "data": isinstance(data, dict) and {**data, "id": 0},
    }


def test_a_dry_run_shows_what_it_undoes() -> None:
    response = post(prefer="tx=rollback")

    assert Contract.objects.count() == 0
    assert [row["number"] for row in read(response)] == [row["number"] for row in ROWS]
    response.close()


def test_in_the_callers_transaction_all_are_made_before_it_ends() -> None:
    with transaction.atomic():
        response = post()
        transaction.set_rollback(True)

    assert [row["number"] for row in read(response)] == [row["number"] for row in ROWS]


def test_one_batch_is_answered_whole() -> None:
    response = post(ROWS[:3])

    assert not response.streaming
    assert [
        row["number"] for row in map(json.loads, response.content.splitlines())
    ] == [
        "C7",
        "C6",
        "C5",
    ]


def test_what_is_kept_for_a_key_is_answered_whole() -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [post(**key) for _ in range(2)]

    assert [answer.streaming for answer in answers] == [False, False]
    assert answers[0].content == answers[1].content
    assert Contract.objects.count() == len(ROWS)


def test_what_fails_at_once_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, instance: Any) -> Any:
        raise LookupError("not a word of it")

    monkeypatch.setattr(ContractSerializer, "to_representation", fail)

    with pytest.raises(LookupError):
        post()

    assert Contract.objects.count() == 0


async def test_a_loop_is_not_held_up_by_them() -> None:
    response: Any = await AsyncClient().post(
        URL, json.dumps(ROWS), content_type="application/json", headers=LINES
    )

    assert response.is_async
    pieces = [piece async for piece in response]
    assert len(pieces) == 3
    numbers = [json.loads(line)["number"] for line in b"".join(pieces).splitlines()]
    assert numbers == [row["number"] for row in ROWS]
    await sync_to_async(connections.close_all)()


def test_they_take_no_more_memory_than_a_batch(settings: Any) -> None:
    settings.PARTSTREAM = {**settings.PARTSTREAM, "BATCH_SIZE": 250}
    many = [{"number": f"C{n}", "year": 2024} for n in range(count(2_000, 100_000))]
    response = post(many)
    del many
    pieces = iter(response)
    size = len(next(pieces))
    tracemalloc.start()

    try:
        sent = sum(map(len, pieces))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent >= 7 * 0.9 * size
    assert peak < 40 * size
