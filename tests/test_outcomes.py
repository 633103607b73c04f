"""What is said of many rows adds up, whatever they are and however it is asked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.app.models import Product
from tests.bulk.test_against_drf import RolledBackError, a_row
from tests.forms import count

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/products/"
SETTINGS = settings(
    max_examples=count(20, 3_000),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
ROWS: st.SearchStrategy[list[Any]] = st.lists(
    a_row(
        id=st.sampled_from([-901, -902, -903, -99, "x", None]),
        code=st.sampled_from(["A", "B", "C", "D"]),
        serial=st.integers(1, 5),
        shelf=st.sampled_from(["", "x"]),
        slot=st.sampled_from([None, 1, 2]),
        price=st.sampled_from([0, 7, -1, "no"]),
    )
    | st.sampled_from([None, 5, "A", []]),
    max_size=7,
)
REQUESTS = st.sampled_from(
    [
        ("POST", ""),
        ("PATCH", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "?unique_fields=code"),
        ("PATCH", "?unique_fields=serial&update_fields=price,slot"),
        ("PUT", "?unique_fields=shelf,slot"),
        ("DELETE", "?unique_fields=code"),
    ]
)
KINDS = ("created", "updated", "unchanged", "deleted", "failed")


def ask(request: tuple[str, str], rows: Any, prefer: str, accept: str = "") -> Any:
    method, query = request
    headers = {"Prefer": prefer} if prefer else {}

    if accept:
        headers["Accept"] = accept

    return Client().generic(
        method,
        URL + query,
        json.dumps(rows),
        content_type="application/json",
        headers=headers,
    )


def alone(does: Any) -> Any:
    """With three products; what was done is undone."""
    said: Any = None

    try:
        with transaction.atomic():
            # Keys that no sequence comes to.
            for pk, code, serial in [(-901, "A", 1), (-902, "B", 2), (-903, "Y", 3)]:
                Product.objects.create(pk=pk, code=code, serial=serial)

            said = does()
            raise RolledBackError
    except RolledBackError:
        return said


def told(report: dict[str, Any]) -> Any:
    """Without the keys of new rows, which no two tries have in common."""
    new = {
        result["pk"]: result["row"]
        for result in report["results"]
        if result["outcome"] == "created"
    }
    text = json.dumps(report)

    for pk, row in new.items():
        text = re.sub(rf'"(pk|id)": {pk}\b', rf'"\1": "new {row}"', text)

    return text


@SETTINGS
@given(request_=REQUESTS, rows=ROWS)
def test_counts_add_up_and_rows_come_in_order(request_: Any, rows: Any) -> None:
    def lenient() -> Any:
        response = ask(request_, rows, "handling=lenient")
        assert response.status_code == 207, response.content

        return response.json()

    report = alone(lenient)
    outcomes = [result["outcome"] for result in report["results"]]

    assert [result["row"] for result in report["results"]] == [*range(1, len(rows) + 1)]
    assert list(report) == [*KINDS, "results"]
    assert {kind: report[kind] for kind in KINDS} == {
        kind: outcomes.count(kind) for kind in KINDS
    }
    assert sum(report[kind] for kind in KINDS) == len(rows)


@SETTINGS
@given(request_=REQUESTS, rows=ROWS)
def test_a_dry_run_says_what_the_real_one_says(request_: Any, rows: Any) -> None:
    def both() -> Any:
        dry = ask(request_, rows, "handling=lenient, tx=rollback").json()
        assert Product.objects.count() == 3
        strict = ask(request_, rows, "tx=rollback")
        real = ask(request_, rows, "handling=lenient").json()

        return dry, strict, real

    dry, strict, real = alone(both)

    assert told(dry) == told(real)

    if dry["failed"]:
        # The bad rows are the same; what is good has not been told.
        bad = [
            {name: value for name, value in result.items() if name != "outcome"}
            for result in dry["results"]
            if result["outcome"] == "failed"
        ]
        assert strict.json()["rows"] == bad
    else:
        assert strict.status_code in (200, 201)


@SETTINGS
@given(
    request_=REQUESTS,
    rows=ROWS,
    prefer=st.sampled_from(["", "handling=lenient", "return=minimal"]),
)
def test_lines_say_what_the_array_says(request_: Any, rows: Any, prefer: str) -> None:
    array = alone(lambda: ask(request_, rows, f"tx=rollback, {prefer}"))
    lines = alone(
        lambda: ask(request_, rows, f"tx=rollback, {prefer}", "application/x-ndjson")
    )

    assert lines.status_code == array.status_code

    if array.status_code >= 400:
        assert lines.content == array.content
        return

    # DRF does not say what nothing is.
    assert lines.headers.get("Content-Type") == (
        "application/x-ndjson" if lines.content else None
    )
    read = [json.loads(line) for line in lines.content.splitlines()]
    said = array.json()

    if isinstance(said, list):
        assert [{**row, "id": 0} for row in read] == [{**row, "id": 0} for row in said]
    elif "results" in said:
        counts, *results = read
        assert told({**counts, "results": results}) == told(said)
    else:
        assert read == [said]
