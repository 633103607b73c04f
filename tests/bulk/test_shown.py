"""Stored rows by columns: what is shown is what the serializer itself shows."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone
from rest_framework import serializers

from django_partstream.bulk.shown import Shown
from tests.app.models import Account, Contract, Sample, Status, Transaction

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def serializer_of(chosen: type[Any], *, names: Any = "__all__", **declared: Any) -> Any:
    class Meta:
        model = chosen
        fields = names

    kind: Any = type(
        "Shown", (serializers.ModelSerializer,), {"Meta": Meta, **declared}
    )

    return kind


def both(kind: Any) -> tuple[Any, Any]:
    """By columns, and by the serializer; in an order that is not the table's."""
    queryset = kind.Meta.model.objects.all()
    objects = sorted(queryset, key=lambda one: -one.pk)
    pks = [one.pk for one in objects]

    return Shown(kind([], many=True)).of_stored((queryset,), pks), kind(
        objects, many=True
    ).data


def transactions() -> None:
    account = Account.objects.create(name="a")
    status = Status.objects.create(code="open")
    start = datetime.datetime(2026, 3, 29, 0, 30, tzinfo=datetime.UTC)

    for n, amount in enumerate(["0.00", "-0.01", "9999999999.99", "12.50"]):
        Transaction.objects.create(
            account=account,
            status=status,
            datetime=start + datetime.timedelta(minutes=45 * n, microseconds=n),
            amount=decimal.Decimal(amount),
            description=("", "é\u2028", "plain", "x" * 200)[n],
        )


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Chicago"])
def test_relations_moments_and_decimals_are_shown_as_the_serializer_shows_them(
    zone: str,
) -> None:
    transactions()

    with timezone.override(zone):
        ours, stock = both(serializer_of(Transaction))

    assert ours == stock
    assert [*map(list, ours)] == [*map(list, stock)]
    assert [[type(v) for v in row.values()] for row in ours] == [
        [type(v) for v in row.values()] for row in stock
    ]


def test_nulls_are_shown() -> None:
    Contract.objects.create(number="A", year=1)
    Contract.objects.create(number="B", year=2, amount=decimal.Decimal("1.10"))

    ours, stock = both(serializer_of(Contract))

    assert ours == stock
    assert [row["amount"] for row in ours] == ["1.10", None]


@pytest.mark.parametrize(
    "declared",
    [
        {"amount": serializers.DecimalField(14, 3)},
        {"amount": serializers.DecimalField(12, 2, normalize_output=True)},
        {"amount": serializers.DecimalField(12, 2, coerce_to_string=False)},
        {"amount": serializers.FloatField()},
        {"datetime": serializers.DateTimeField(format="%d.%m.%Y %H:%M")},
        {"datetime": serializers.DateTimeField(default_timezone=datetime.UTC)},
        {"datetime": serializers.DateTimeField(format=None)},
        {"description": serializers.ChoiceField([("plain", "Plain")])},
        {"text": serializers.CharField(source="description")},
        {"account_id": serializers.IntegerField()},
    ],
)
def test_declared_fields_are_shown_as_they_show(declared: dict[str, Any]) -> None:
    transactions()

    ours, stock = both(serializer_of(Transaction, **declared))

    if ours is None:
        # Only the serializer can tell.
        assert "account_id" in declared
    else:
        assert ours == stock
        assert repr(ours) == repr([dict(row) for row in stock])


def test_whatever_depends_on_more_than_columns_is_left_to_the_serializer() -> None:
    transactions()

    class Shouting(serializers.CharField):
        def to_representation(self, value: Any) -> str:
            return str(value).upper()

    def to_representation(self: Any, instance: Any) -> Any:
        return {"pk": instance.pk}

    declared: dict[str, Any]

    for declared in (
        {"description": Shouting()},
        {"account": serializers.StringRelatedField()},
        {"account": serializers.SlugRelatedField("name", read_only=True)},
        {"name": serializers.CharField(source="account.name")},
        {"to_representation": to_representation},
    ):
        assert both(serializer_of(Transaction, **declared))[0] is None, declared


def test_every_kind_of_column_is_shown_or_left() -> None:
    Sample.objects.create()

    ours, stock = both(serializer_of(Sample))

    assert ours is None or repr(ours) == repr([dict(row) for row in stock])


@override_settings(REST_FRAMEWORK={"COERCE_DECIMAL_TO_STRING": False})
def test_settings_of_drf_are_heeded() -> None:
    transactions()

    ours, stock = both(serializer_of(Transaction))

    assert repr(ours) == repr([dict(row) for row in stock])


def test_rows_are_read_from_the_first_world_that_has_them() -> None:
    first = Account.objects.create(name="ours")
    second = Account.objects.create(name="theirs", tenant="theirs")
    kind = serializer_of(Account)
    worlds = (Account.objects.filter(tenant="ours"), Account.objects.all())

    found = Shown(kind([], many=True)).of_stored(
        worlds, [second.pk, first.pk, second.pk]
    )

    assert found is not None
    assert [row["name"] for row in found] == ["theirs", "ours", "theirs"]
    assert Shown(kind([], many=True)).of_stored(worlds[:1], [second.pk]) is None
    assert Shown(kind([], many=True)).of_stored(worlds, []) == []
