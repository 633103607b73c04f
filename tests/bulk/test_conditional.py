"""Uniqueness that depends on more than a key is judged as by DRF, by the batch."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from django_partstream.bulk import conditional
from django_partstream.bulk.pipeline import Target, Write
from django_partstream.bulk.rows import Row
from tests.app.models import Talk
from tests.app.serializers import TalkSerializer
from tests.forms import count

from .test_against_drf import a_row, assert_equal_outcome

pytestmark = [pytest.mark.database, pytest.mark.django_db]

OLD = {
    "title": "Old",
    "speaker": "Ann",
    "day": "2024-01-01",
    "starts": "2024-01-01T10:00:00Z",
    "hall": "A",
    "slot": 1,
    "is_on": True,
}


def a_talk(number: int, **changes: Any) -> dict[str, Any]:
    talk = {
        "code": f"T{number}",
        "title": f"Talk {number}",
        "speaker": f"Speaker {number}",
        "slot": 100 + number,
    }

    return {**OLD, **talk, **changes}


def upsert() -> Write:
    target = Target(
        get_serializer=lambda *a, **k: TalkSerializer(*a, context={}, **k),
        queryset=Talk.objects.all(),
    )

    return Write(target, unique_fields=["code"])


def run(*talks: Any) -> list[Any]:
    rows = [Row(number=n, line=None, data=talk) for n, talk in enumerate(talks, 1)]

    with transaction.atomic():
        outcomes = upsert().run(rows)

    return [
        [(e.pointer, e.code) for e in outcome.errors] or outcome.kind.value
        for outcome in outcomes
    ]


@settings(
    max_examples=count(15, 3_000),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(
    rows=st.lists(
        a_row(
            code=st.sampled_from(["T1", "T2", "T3"]),
            title=st.sampled_from(["Old", "New"]),
            speaker=st.sampled_from(["Ann", "Bob"]),
            day=st.sampled_from(["2024-01-01", "2024-01-02", "x"]),
            starts=st.sampled_from(["2024-01-01T10:00:00Z", "2023-02-01T00:00:00Z"]),
            hall=st.just("A"),
            slot=st.sampled_from([1, 2, None]),
            is_on=st.booleans(),
        ).map(lambda row: {**OLD, **row} if len(row) > 4 else row),
        max_size=5,
    ),
    size=st.integers(1, 5),
)
def test_as_row_by_row(rows: Any, size: int) -> None:
    Talk.objects.get_or_create(code="T2", defaults=OLD)
    assert_equal_outcome(TalkSerializer, ["code"], rows, size=size, key="code")


def test_what_each_of_them_refuses() -> None:
    if not connection.features.has_zoneinfo_database:
        pytest.skip("this database knows no zones, so no month of a moment")

    assert run(a_talk(1)) == ["created"]

    assert run(
        a_talk(2, title="Talk 1"),
        a_talk(3, title="Talk 1", day="2024-01-02"),
        a_talk(4, speaker="Speaker 1"),
        a_talk(5, speaker="Speaker 1", starts="2024-02-01T10:00:00Z"),
        a_talk(6, slot=101),
        a_talk(7, slot=101, is_on=False),
    ) == [
        [("/title", "unique")],
        "created",
        [("/speaker", "unique")],
        "created",
        [("", "unique")],
        "created",
    ]


@pytest.mark.parametrize("size", [5, 40])
def test_queries_do_not_grow_with_the_rows(size: int) -> None:
    run(*(a_talk(number) for number in range(1000, 1003)))

    with CaptureQueriesContext(connection) as queries:
        kinds = run(*(a_talk(number) for number in range(size)))

    assert {*kinds} == {"created"}
    statements = [q for q in queries if "SAVEPOINT" not in q["sql"]]
    # The keys, three validators, the rows, and on PostgreSQL the constraints' mode;
    # MariaDB finds the new rows again.
    assert len(statements) <= 8, [q["sql"][:80] for q in statements]


@pytest.mark.parametrize(
    ("validator", "talk"),
    [
        (conditional.Conditional, a_talk(2, slot=101)),
        (conditional.ForDate, a_talk(2, title="Talk 1")),
    ],
)
def test_planted_fault_is_caught(
    validator: Any, talk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a key that somebody has were free."""
    rows = [a_talk(1, is_on=True), talk]
    assert_equal_outcome(TalkSerializer, ["code"], rows, size=2, key="code")

    monkeypatch.setattr(validator, "__call__", lambda *_: None)

    with pytest.raises(AssertionError):
        assert_equal_outcome(TalkSerializer, ["code"], rows, size=2, key="code")
