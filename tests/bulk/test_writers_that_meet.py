"""Many writers of the same rows: none of their clients sees a failure."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client

from django_partstream import operations
from tests.app.models import Product
from tests.forms import count

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

WRITERS = count(4, 8)
TRANSACTIONS = count(6, 60)
KEYS = 120
ROWS = 60


def writes(seed: int, statuses: Counter[int]) -> None:
    """Upserts by one unique field, of rows that are unique by two others as well."""
    client = Client()
    dice = random.Random(seed)

    try:
        for turn in range(TRANSACTIONS):
            numbers = dice.sample(range(KEYS), ROWS)
            rows = [
                {
                    "code": f"P{number}",
                    # Another order than that of the codes.
                    "serial": (number * 7919) % 1009,
                    "shelf": "s",
                    "slot": KEYS - number,
                    "price": seed * 1000 + turn,
                }
                for number in numbers
            ]
            key = dice.choice(["code", "serial", "shelf,slot"])
            response = client.post(
                f"/api/products/?unique_fields={key}",
                json.dumps(rows),
                content_type="application/json",
            )
            statuses[response.status_code] += 1
    finally:
        connections.close_all()


def test_no_upsert_fails_because_of_another() -> None:
    counts: list[Counter[int]] = [Counter() for _ in range(WRITERS)]
    threads = [
        threading.Thread(target=writes, args=(seed, counts[seed]))
        for seed in range(WRITERS)
    ]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert sum(counts, Counter()) == {200: WRITERS * TRANSACTIONS}
    stored: list[Any] = [*Product.objects.values_list("code", "serial", "slot")]
    assert {(f"P{n}", (n * 7919) % 1009, KEYS - n) for n in range(KEYS)} >= set(stored)
    assert len(stored) == len({code for code, _, _ in stored})


@pytest.mark.parametrize(
    ("attempts", "expected"), [(1, [200, 503]), (operations.ATTEMPTS, [200, 200])]
)
def test_who_waits_for_each_other_is_tried_again(
    attempts: int,
    expected: list[int],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    """Each writes what the other is about to write, and waits until both have."""
    if connection.vendor != "postgresql":
        pytest.skip(
            "SQLite has one writer; MariaDB may lock the gap that both write to"
        )

    settings.PARTSTREAM = {"BATCH_SIZE": 1}
    monkeypatch.setattr(operations, "ATTEMPTS", attempts)
    both = threading.Barrier(2, timeout=30)
    statuses: list[int] = []

    def upsert(codes: str) -> None:
        waiting = [True]

        def meet(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
            result = execute(sql, params, many, context)

            if waiting and str(sql).startswith("INSERT INTO"):
                waiting.clear()
                both.wait()

            return result

        rows = [{"code": code, "serial": ord(code), "price": 1} for code in codes]

        try:
            with connections["default"].execute_wrapper(meet):
                response = Client().post(
                    "/api/products/?unique_fields=code",
                    json.dumps(rows),
                    content_type="application/json",
                )

            statuses.append(response.status_code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=upsert, args=(codes,)) for codes in ("AB", "BA")]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join()

    assert sorted(statuses) == expected
    assert {*Product.objects.values_list("code", flat=True)} == {"A", "B"}
