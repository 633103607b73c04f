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


def test_the_same_without_the_second_try_does_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or else the test above would show nothing."""
    from django_partstream import operations

    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time, so that they never meet")

    monkeypatch.setattr(operations, "ATTEMPTS", 1)
    counts: list[Counter[int]] = [Counter() for _ in range(8)]

    for _ in range(5):
        threads = [
            threading.Thread(target=writes, args=(seed, counts[seed]))
            for seed in range(8)
        ]

        for thread in threads:
            thread.start()

        for thread in threads:
            thread.join()

        if sum(counts, Counter())[503]:
            return

    pytest.fail("no two transactions got in each other's way")
