"""Many writers of the same rows: none of their clients sees a failure."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection, connections, transaction
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
    ("method", "address"),
    [
        ("PATCH", "/api/products/"),
        ("POST", "/api/products/?unique_fields=code"),
        ("PUT", "/api/products/?unique_fields=serial"),
        ("DELETE", "/api/products/"),
        ("PATCH", "/api/products-by-rows/"),
    ],
)
def test_all_stored_rows_are_locked_before_the_first_is_written(
    method: str, address: str, settings: Any
) -> None:
    """Whoever comes later waits, with nothing in hand that is waited for."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer; InnoDB locks in an order of its own")

    settings.PARTSTREAM = {"BATCH_SIZE": 2}
    stored = [
        Product.objects.create(code=f"P{n}", serial=n, price=1, slot=n)
        for n in range(7)
    ]
    asked = stored[:0:-1]
    free: list[list[str]] = []

    def look() -> None:
        try:
            with transaction.atomic():
                rows = Product.objects.select_for_update(skip_locked=True)
                free.append([product.code for product in rows])
        finally:
            connections.close_all()

    def watch(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if not free and str(sql).lstrip().startswith(("UPDATE", "DELETE")):
            other = threading.Thread(target=look)
            other.start()
            other.join()

        return execute(sql, params, many, context)

    rows: list[Any] = [
        {"id": p.pk, "code": p.code, "serial": p.serial, "price": 2, "slot": p.slot}
        for p in asked
    ]

    with connection.execute_wrapper(watch):
        response = Client().generic(
            method,
            address,
            json.dumps([p.pk for p in asked] if method == "DELETE" else rows),
            content_type="application/json",
        )

    assert response.status_code == 200, response.content
    # The first row was not asked for.
    assert free == [["P0"]]


@pytest.mark.parametrize("key", ["code", "serial", "shelf,slot"])
def test_new_rows_have_one_order_whatever_their_key(key: str) -> None:
    rows = [
        {"code": f"P{n}", "serial": (n * 7) % 10, "shelf": "s", "slot": -n}
        for n in random.Random(3).sample(range(10), 10)
    ]

    response = Client().post(
        f"/api/products/?unique_fields={key}",
        json.dumps(rows),
        content_type="application/json",
    )

    assert [row["code"] for row in response.json()] == [row["code"] for row in rows]
    made = Product.objects.order_by("pk").values_list("code", flat=True)
    assert [*made] == [f"P{n}" for n in range(10)]


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
    # As rows of which there are too many for one batch, whose order is total.
    monkeypatch.setattr(operations.Input, "joined", lambda given: given)
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
