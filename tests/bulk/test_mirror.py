"""What is answered without reading it again is what is stored."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin
from tests.app.models import Account, Contract, Sample, Status, Transaction
from tests.app.serializers import (
    ContractSerializer,
    ParcelSerializer,
    TransactionSerializer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db,
    pytest.mark.skipif(
        "connection.vendor not in ('postgresql', 'sqlite')",
        reason="elsewhere, what is stored is read again",
    ),
]


class KeyedTransactionSerializer(TransactionSerializer):
    status: Any = serializers.PrimaryKeyRelatedField(queryset=Status.objects.all())


class SampleSerializer(serializers.ModelSerializer[Sample]):
    class Meta:
        model = Sample
        fields = ("id", "label", "is_on", "maybe", "day", "token", "country", "note")


@contextlib.contextmanager
def reading(model: Any) -> Iterator[list[str]]:
    """The statements that read the table without locking it."""
    seen: list[str] = []
    table = f'FROM "{model._meta.db_table}"'

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        text = str(sql)

        if text.startswith("SELECT") and table in text and "FOR UPDATE" not in text:
            seen.append(text)

        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def send(serializer: Any, rows: Any, *, key: str = "", method: str = "post") -> Any:
    """The response of a view of this serializer."""

    class View(BulkOperationsMixin, ModelViewSet[Any]):
        queryset = serializer.Meta.model.objects.all()
        serializer_class = serializer

    view = View.as_view({"post": "create", "patch": "partial_update"})
    query = f"?unique_fields={key}" if key else ""
    request: Any = getattr(APIRequestFactory(), method)(
        f"/{query}", json.dumps(rows), content_type="application/json"
    )

    response = view(request)

    return response.render() if hasattr(response, "render") else response


def stored(serializer: Any, response: Any) -> bytes:
    """The same rows as DRF shows them when they are read."""
    model = serializer.Meta.model
    found = model.objects.in_bulk([row["id"] for row in json.loads(response.content)])
    objects = [found[row["id"]] for row in json.loads(response.content)]
    rendered: bytes = JSONRenderer().render(serializer(objects, many=True).data)

    return rendered


MOMENTS = (
    "2026-03-29T02:30:00",  # Skipped in Berlin, and 20:30 the day before in Chicago.
    "2026-10-25T02:30:00",
    "2026-10-25T02:30:00+01:00",
    "2026-01-01T00:00:00.000001Z",
    "1999-12-31T23:59:59.999999-11:00",
)
AMOUNTS = ("0", "-0.00", "1.5", "-0.01", "9999999999.99")
TEXTS = ("", "é\u2028\u2029", '"\\/\b\f\n\r\t\x01\x7f', "\U0001f600", "x" * 200)


def transactions(account: int, status: int) -> list[dict[str, Any]]:
    return [
        {
            "account": account,
            "status": status,
            "datetime": moment,
            "amount": amount,
            "description": text,
        }
        for moment, amount, text in zip(MOMENTS, AMOUNTS, TEXTS, strict=True)
    ]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Chicago"])
def test_rows_are_answered_byte_for_byte_as_they_would_be_read(zone: str) -> None:
    account = Account.objects.create(name="a").pk
    status = Status.objects.create(code="open").pk
    rows = transactions(account, status)

    with timezone.override(zone):
        if zone == "Europe/Berlin":
            # A time that the clocks skip or repeat, DRF refuses.
            rows = [row for row in rows if len(row["datetime"]) > 19]

        with reading(Transaction) as read:
            created = send(KeyedTransactionSerializer, rows[:3])

        assert created.status_code == 201
        assert created.content == stored(KeyedTransactionSerializer, created)
        changed = [dict(row, amount="7", description="changed") for row in rows]
        changed[0] = rows[0]
        upserted = send(KeyedTransactionSerializer, changed, key="account,datetime")

        assert upserted.status_code == 200
        assert upserted.content == stored(KeyedTransactionSerializer, upserted)

    if all(row["amount"] != "-0.00" for row in rows[:3]):
        assert read == []


def test_other_kinds_of_columns_with_their_nulls() -> None:
    rows = [
        {"label": "a", "is_on": False, "maybe": None, "day": None, "token": None},
        {"label": "b", "maybe": True, "day": "2024-02-29", "note": "n"},
        {"label": "c", "token": "00000000-0000-0000-0000-00000000000a", "note": None},
    ]

    with reading(Sample) as read:
        created = send(SampleSerializer, rows)

    assert read == []
    assert created.content == stored(SampleSerializer, created)
    changes = [{"id": row["id"], "note": "new"} for row in created.data]
    patched = send(SampleSerializer, changes, method="patch")

    assert patched.content == stored(SampleSerializer, patched)


def test_what_a_trigger_makes_of_rows_is_answered() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER loud AFTER INSERT ON app_contract BEGIN UPDATE "
                "app_contract SET number = upper(number) WHERE id = new.id; END"
            )
        else:
            cursor.execute(
                "CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS "
                "'BEGIN NEW.number := upper(NEW.number); RETURN NEW; END'"
            )
            cursor.execute(
                "CREATE TRIGGER loud BEFORE INSERT ON app_contract FOR EACH ROW "
                "EXECUTE FUNCTION loud()"
            )

    created = send(ContractSerializer, [{"number": n, "year": 1} for n in "ab"])

    assert [row["number"] for row in created.data] == ["A", "B"]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="it rounds")
def test_what_a_column_of_another_type_makes_of_rows_is_answered() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE app_contract ALTER amount TYPE numeric(10, 1)")

    row = {"number": "a", "year": 1, "amount": "1.25"}
    created = send(ContractSerializer, [row, dict(row, number="b")])

    assert [row["amount"] for row in created.data] == ["1.30", "1.30"]


def test_what_the_database_generates_is_read() -> None:
    rows = [{"code": code, "width": 3} for code in "ab"]
    created = send(ParcelSerializer, rows)
    changed = send(ParcelSerializer, [dict(row, width=7) for row in rows], key="code")

    assert created.status_code == 201
    assert [row["area"] for row in created.data] == [6, 6]
    assert [row["area"] for row in changed.data] == [14, 14]


def test_a_key_that_comes_again_in_a_later_batch_is_answered_as_it_ends(
    settings: Any,
) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 2}
    rows = [{"number": n, "year": year} for year, n in enumerate("abcab", start=1)]

    upserted = send(ContractSerializer, rows, key="number")

    assert [row["year"] for row in upserted.data] == [4, 5, 3, 4, 5]
    assert upserted.content == stored(ContractSerializer, upserted)


def test_new_rows_are_not_asked_about_unless_the_database_refuses_some() -> None:
    rows = [{"number": n, "year": 1} for n in "abc"]

    with reading(Contract) as read:
        assert send(ContractSerializer, rows).status_code == 201

    assert read == []
    refused = send(ContractSerializer, [{"number": n, "year": 1} for n in "xbyc"])

    assert refused.status_code == 400
    assert [
        (row["row"], row["errors"][0]["pointer"], row["errors"][0]["code"])
        for row in json.loads(refused.content)["rows"]
    ] == [(2, "/number", "unique"), (4, "/number", "unique")]
    assert Contract.objects.count() == len(rows)


def test_twins_among_new_rows_are_refused_in_their_order() -> None:
    refused = send(ContractSerializer, [{"number": n, "year": 1} for n in "aba"])

    assert [row["row"] for row in json.loads(refused.content)["rows"]] == [3]
    assert not Contract.objects.exists()


def test_a_constraint_that_only_the_model_knows_of_is_asked_about() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE app_contract DROP CONSTRAINT app_contract_number_key"
            )
    else:
        pytest.skip("SQLite cannot drop it")

    Contract.objects.create(number="a", year=1)

    assert send(ContractSerializer, [{"number": "a", "year": 1}]).status_code == 400


def test_all_that_is_wrong_with_a_twin_is_told() -> None:
    refused = send(
        ContractSerializer, [{"number": "a", "year": 1}, {"number": "a", "year": "x"}]
    )

    ((_, *errors),) = [
        (row["row"], *row["errors"]) for row in json.loads(refused.content)["rows"]
    ]
    assert [(error["pointer"], error["code"]) for error in errors] == [
        ("/number", "unique"),
        ("/year", "invalid"),
    ]
