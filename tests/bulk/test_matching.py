"""Rows are found by the values of any columns, as the database compares them."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import JSONObject

from django_partstream.bulk.columns import column_of
from django_partstream.bulk.matching import Finder, locked_values, primary_keys
from tests.app.models import Account, Contract, Country, Nickname, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.database, pytest.mark.django_db]

KINDS = {
    "is_on": False,
    "day": datetime.date(2024, 2, 29),
    "clock": datetime.time(12, 30),
    "ratio": 0.1,
    "rank": -7,
    "span": datetime.timedelta(days=-1, microseconds=5),
    "token": uuid.UUID(int=7),
    "country": "de",
    "note": "it's 100 % ünlike",
}


def find(model: Any, names: tuple[str, ...], *keys: Any) -> dict[Any, Any]:
    columns = tuple(filter(None, (column_of(model, name) for name in names)))
    found = Finder(model.objects.all(), columns, primary_keys).find(set(keys))
    assert not found.unknown

    return {key: [*items] for key, items in found.rows.items()}


@pytest.mark.parametrize("name", KINDS)
def test_value_is_found_whatever_its_kind(name: str) -> None:
    Country.objects.create(iso="de", name="Germany")
    value = KINDS[name]
    column = column_of(Sample, name)
    assert column is not None
    one = Sample.objects.create(label="a", **{column.attname: value})
    Sample.objects.create(label="b", **{column.attname: value})

    found = find(Sample, ("label", name), ("a", value), ("c", value))

    assert found == {("a", value): [one.pk]}


def test_decimal_is_found_whatever_its_scale() -> None:
    one = Contract.objects.create(number="1", year=1, amount="10.50")
    Contract.objects.create(number="1b", year=2, amount="10.50")

    found = find(Contract, ("amount", "year"), (Decimal("10.5"), 1))

    assert found == {(Decimal("10.5"), 1): [one.pk]}


def test_foreign_key_is_found_by_its_value() -> None:
    account = Account.objects.create(name="one")
    one = Contract.objects.create(number="1", year=1, account=account)
    Contract.objects.create(number="2", year=1)

    found = find(Contract, ("account", "year"), (account.pk, 1), (account.pk, 2))

    assert found == {(account.pk, 1): [one.pk]}


def test_thousands_of_keys_are_found() -> None:
    Contract.objects.bulk_create(
        Contract(number=str(n), year=n % 3000) for n in range(3000)
    )
    keys = [(str(n), n % 3000) for n in range(1000, 4000)]

    found = find(Contract, ("number", "year"), *keys)

    assert found.keys() == set(keys[:2000])


WORLDS: dict[str, Callable[[Any], Any]] = {
    "a constant of no type": lambda rows: rows.annotate(
        told=JSONObject(kind=Value("new"))
    ).filter(told__kind="new"),
    "a text with a percent sign": lambda rows: rows.filter(number="100 %s %"),
}


@pytest.mark.parametrize("name", WORLDS)
def test_rows_of_a_world_with_values_of_its_own_are_found_and_locked(name: str) -> None:
    one = Contract.objects.create(number="100 %s %", year=1)
    pk = column_of(Contract, "id")
    assert pk is not None
    finder = Finder(
        WORLDS[name](Contract.objects.all()), (pk,), locked_values(["year"])
    )

    with transaction.atomic():
        found = finder.find([(one.pk,), (one.pk + 1,)])

    assert {key: [row[0] for row in rows] for key, rows in found.rows.items()} == {
        (one.pk,): [1]
    }


def test_what_the_database_takes_for_equal_is_found() -> None:
    ann = Nickname.objects.create(name="Ann", points=1)
    bob = Nickname.objects.create(name="bob", points=1)
    keys = [(name, 1) for name in ("ANN", "ann", "bob", "Bob", "x", "y", "z")]

    found = find(Nickname, ("name", "points"), *keys)

    assert found == {
        ("ANN", 1): [ann.pk],
        ("ann", 1): [ann.pk],
        ("bob", 1): [bob.pk],
        ("Bob", 1): [bob.pk],
    }


def test_values_that_cannot_be_asked_for_hide_no_others() -> None:
    one = Contract.objects.create(number="1", year=1)
    columns = tuple(
        filter(None, (column_of(Contract, "number"), column_of(Contract, "year")))
    )
    impossible = [("1", 2**70), ("\ud800", 1), ("n\0l", 1)]

    found = Finder(Contract.objects.all(), columns, primary_keys).find(
        {("1", 1), *impossible}
    )

    assert found.rows == {("1", 1): (one.pk,)}
    assert found.unknown <= set(impossible)
    assert connection.is_usable()
