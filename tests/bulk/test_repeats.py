"""A key that comes many times in one payload: what it would be row by row, at the price
of a payload in which it comes once."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk import together
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk.pipeline import Mode, Write
from django_partstream.bulk.verb import Verb
from tests.app.models import Account, Contract, Event, Product
from tests.app.serializers import (
    ContractSerializer,
    EventSerializer,
    ProductSerializer,
)
from tests.bulk.test_against_drf import SETTINGS, a_row
from tests.bulk.test_interplay import rows_of, target

pytestmark = [pytest.mark.database, pytest.mark.django_db]

TAKEN = [("/number", "unique")]


def said(outcomes: Any) -> list[Any]:
    return [
        outcome.kind
        if outcome.kind is not Kind.FAILED
        else [(error.pointer, error.code) for error in outcome.errors]
        for outcome in outcomes
    ]


def contracts() -> list[Any]:
    return [
        *Contract.objects.order_by("number").values_list("number", "year", "amount")
    ]


def queries_of(upsert: Write, rows: list[dict[str, Any]]) -> tuple[list[Any], int]:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        outcomes = upsert.run(rows_of(*rows))

    return said(outcomes), len(queries)


def test_an_upsert_of_one_key_many_times_takes_no_more_queries_than_of_many() -> None:
    Contract.objects.create(number="OLD", year=1)
    upsert = Write(target(ContractSerializer), unique_fields=["number"])
    queries_of(upsert, [{"number": "first", "year": 1}])

    _, clean = queries_of(
        upsert, [{"number": f"A{n}", "year": n, "amount": "1.00"} for n in range(40)]
    )
    kinds, repeated = queries_of(
        upsert,
        [
            {"number": number, "year": year, "amount": "1.50"}
            for year in (1, 2, 2, 3)
            for number in ("OLD", "NEW", f"B{year}")
        ],
    )

    # Rows that are stored are locked and changed. Of texts, MariaDB must be asked which
    # are equal: there, rows of one key are written one after the other.
    assert repeated <= clean + 2 or connection.vendor == "mysql"
    changed = [Kind.UPDATED, Kind.UPDATED]
    assert kinds == [
        *(Kind.UPDATED, Kind.CREATED, Kind.CREATED),
        *(*changed, Kind.CREATED),
        *(Kind.UNCHANGED, Kind.UNCHANGED, Kind.UNCHANGED),
        *(*changed, Kind.CREATED),
    ]
    stored = {number: year for number, year, _ in contracts()}
    assert (stored["OLD"], stored["NEW"]) == (3, 3)


def test_a_change_and_its_undoing_are_two_updates() -> None:
    old = Contract.objects.create(number="OLD", year=1)
    upsert = Write(target(ContractSerializer), verb=Verb.UPDATE)

    kinds, _ = queries_of(
        upsert, [{"id": old.pk, "year": year} for year in (2, 1, 1, 2, 1)]
    )

    assert kinds == [
        *(Kind.UPDATED, Kind.UPDATED, Kind.UNCHANGED, Kind.UPDATED, Kind.UPDATED)
    ]
    assert Contract.objects.get().year == 1


def test_of_new_rows_the_first_valid_one_gets_the_key_and_others_drfs_own_error() -> (
    None
):
    upsert = Write(target(ContractSerializer), verb=Verb.CREATE)
    rows: list[dict[str, Any]] = [
        {"number": f"C{n}", "year": n, "amount": "1.00"} for n in range(40)
    ]
    rows[3] = {"number": "SAME", "year": "no"}

    for place in range(5, 40, 2):
        rows[place] = {"number": "SAME", "year": place}

    kinds, few = queries_of(upsert, rows[:6])
    Contract.objects.all().delete()
    kinds, many = queries_of(upsert, rows)

    assert many <= few + 3
    assert kinds[3] == [("/year", "invalid")]
    assert kinds[5] is Kind.CREATED
    assert all(kinds[place] == TAKEN for place in range(7, 40, 2))
    assert Contract.objects.get(number="SAME").year == 5


CONTRACTS = st.lists(
    a_row(
        number=st.sampled_from(["A", "A", "B", "C", "D", None]),
        year=st.sampled_from([1, 2, 3, "x", "2"]),
        amount=st.sampled_from([None, "1", "1.50", 2, "1e9", 0, "-0"]),
        account=st.sampled_from([None, 1, 2, 3]),
    ),
    max_size=14,
)
EVENTS = st.lists(
    a_row(name=st.sampled_from(["A", "A", "B"]), place=st.sampled_from(["here", "x"])),
    max_size=8,
)
PRODUCTS = st.lists(
    a_row(
        code=st.sampled_from(["A", "A", "B", "C"]),
        serial=st.integers(1, 4),
        shelf=st.just("x"),
        slot=st.integers(1, 3),
        price=st.sampled_from([0, 1, -1]),
    ),
    max_size=8,
)
KINDS: dict[str, tuple[Any, Any, str, Any]] = {
    "contracts": (ContractSerializer, Contract, "number", CONTRACTS),
    "events": (EventSerializer, Event, "name", EVENTS),
    "products": (ProductSerializer, Product, "code", PRODUCTS),
}


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(
    data=st.data(),
    size=st.integers(3, 14),
    verb=st.sampled_from([Verb.CREATE, Verb.UPSERT, Verb.UPDATE, Verb.PUT]),
)
def test_repeated_keys_come_out_as_one_by_one(
    kind: str, data: st.DataObject, size: int, verb: Verb
) -> None:
    serializer_class, model, key, payloads = KINDS[kind]
    rows = data.draw(payloads)

    def outcome(mode: Mode) -> Any:
        result: Any = None

        with contextlib.suppress(RuntimeError), transaction.atomic():
            Account.objects.bulk_create([Account(pk=n, name=str(n)) for n in (1, 2)])
            Contract.objects.create(number="B", year=2, amount=1)
            Product.objects.create(code="B", serial=3, shelf="x", slot=3)
            Event.objects.create(name="B")
            names = [key] if verb is not Verb.CREATE else []
            upsert = Write(target(serializer_class), verb=verb, unique_fields=names)
            upsert.mode = mode
            numbered = rows_of(*rows)
            outcomes = [
                each
                for start in range(0, len(numbered), size)
                for each in upsert.run(numbered[start : start + size])
            ]
            keys = dict(model.objects.values_list("pk", key))
            fields = [
                field.attname
                for field in model._meta.concrete_fields
                if not field.primary_key and not getattr(field, "auto_now", False)
                if not getattr(field, "auto_now_add", False)
            ]
            result = (
                [(o.row, o.kind, keys.get(o.pk), o.errors) for o in outcomes],
                [*model.objects.order_by(key).values_list(*fields)],
            )
            raise RuntimeError("rolled back")

        return result

    assert outcome("batch") == outcome("rows")


def test_they_are_seen_to_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the property above would not tell from rows that were given up."""
    ran: list[Any] = []
    run = together.Together.run

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(run(self, *args, **kwargs))

        return ran[-1]

    monkeypatch.setattr(together.Together, "run", noted)
    upsert = Write(target(ContractSerializer), unique_fields=["number"])
    queries_of(upsert, [{"number": "A", "year": year} for year in range(5)])
    create = Write(target(ContractSerializer), verb=Verb.CREATE)
    queries_of(create, [{"number": "B", "year": year} for year in range(5)])

    assert None not in ran
