"""CSV: the five operations, as a file in a form and as a body, and its rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.app.models import Transaction

from .asking import ask, status_of
from .rows import (
    BASE,
    CREATE_CSV,
    DELETE_CSV,
    UPDATE_CSV,
    store,
    stored,
    upload,
)

pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db,
    pytest.mark.usefixtures("ledger"),
]

URL = f"{BASE}operations/"
HOW = ("form", "body")


def send(client: Client, how: str, method: str, data: bytes, query: str = "") -> Any:
    if how == "form":
        return upload(client, method, URL + query, data)

    return ask(client, method, URL + query, data, content_type="text/csv")


@pytest.mark.parametrize("how", HOW)
def test_the_file_that_creates(client: Client, how: str) -> None:
    result = status_of(client, send(client, how, "POST", CREATE_CSV))["result"]

    assert (result["success_count"], result["error_count"]) == (3, 0)
    assert [(amount, text) for _, amount, text in stored()] == [
        ("100.50", "Transaction 1"),
        ("-25.75", "Transaction 2"),
        ("500.00", "Transaction 3"),
    ]


@pytest.mark.parametrize("how", HOW)
def test_an_empty_cell_of_the_file_that_updates_leaves_its_column_alone(
    client: Client, how: str
) -> None:
    store(3)

    result = status_of(client, send(client, how, "PATCH", UPDATE_CSV))["result"]

    assert (result["updated_count"], result["error_count"]) == (3, 0)
    assert stored() == [
        (1, "150.00", "Updated Transaction 1"),
        (2, "2.00", "Updated Transaction 2"),
        (3, "75.50", "Transaction 3"),
    ]


@pytest.mark.parametrize("how", HOW)
def test_a_file_that_replaces_says_everything(client: Client, how: str) -> None:
    store(2)
    head, first, second, _ = CREATE_CSV.splitlines()
    whole = b"\n".join([b"id," + head, b"1," + first, b"2," + second, b""])

    result = status_of(client, send(client, how, "PUT", whole))["result"]
    refused = send(client, how, "PUT", UPDATE_CSV)

    assert (result["updated_count"], result["error_count"]) == (2, 0)
    assert stored() == [(1, "100.50", "Transaction 1"), (2, "-25.75", "Transaction 2")]
    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_columns"


@pytest.mark.parametrize("how", HOW)
def test_the_file_that_deletes(client: Client, how: str) -> None:
    store(6)

    result = status_of(client, send(client, how, "DELETE", DELETE_CSV))["result"]

    assert result["deleted_ids"] == [1, 2, 3, 4, 5]
    assert [pk for pk, _, _ in stored()] == [6]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_file_upserts_by_the_fields_beside_it_in_the_form(
    client: Client, method: str
) -> None:
    store(1)

    response = upload(
        client,
        method,
        URL,
        CREATE_CSV,
        unique_fields="financial_account,datetime",
        update_fields="amount",
    )

    status = status_of(client, response)
    assert status["result"]["operation_type"] == "async_upsert"
    assert status["result"]["created_count"] == 2
    assert status["result"]["updated_ids"] == [1]
    assert Transaction.objects.get(pk=1).amount == 100.5


def test_a_byte_order_mark_is_no_part_of_the_first_column(client: Client) -> None:
    result = status_of(
        client, upload(client, "POST", URL, b"\xef\xbb\xbf" + CREATE_CSV)
    )["result"]

    assert result["success_count"] == 3


@pytest.mark.parametrize("name", ["transactions.txt", "transactions.xlsx", "csv"])
def test_a_file_must_have_the_name_of_a_csv_file(client: Client, name: str) -> None:
    response = upload(client, "POST", URL, CREATE_CSV, name=name)

    assert response.status_code == 400
    assert response.json()["code"] == "not_csv"
    assert response.json()["detail"] == (
        f"The file {name!r} has no name of a CSV file. End it with .csv, or say that "
        "it is application/json or application/x-ndjson."
    )


def test_the_name_may_shout(client: Client) -> None:
    response = upload(client, "POST", URL, CREATE_CSV, name="EXPORT.CSV")

    assert response.status_code == 202


def test_a_view_may_bound_its_files(client: Client, monkeypatch: Any) -> None:
    from .views import DocumentedViewSet

    monkeypatch.setattr(DocumentedViewSet, "csv_max_file_size", len(CREATE_CSV))

    taken = upload(client, "POST", URL, CREATE_CSV)
    refused = upload(client, "POST", URL, CREATE_CSV + b"\n")

    assert taken.status_code == 202
    assert refused.status_code == 413
    assert refused.json()["detail"] == (
        f"The file has {len(CREATE_CSV) + 1} bytes; at most {len(CREATE_CSV)} are "
        "allowed here. Split it."
    )


def test_a_bad_row_is_named_by_its_place_and_its_line(client: Client) -> None:
    bad = CREATE_CSV.replace(b"-25.75", b"some")

    status = status_of(client, upload(client, "POST", URL, bad))

    (error,) = status["result"]["errors"]
    assert (error["index"], error["row"], error["line"]) == (1, 2, 3)
    assert error["error"] == "amount: A valid number is required."
    assert error["data"]["description"] == "Transaction 2"
    assert len(stored()) == 2


def test_csv_is_taken_by_upserts_at_once_too(client: Client) -> None:
    response = upload(
        client,
        "POST",
        f"{BASE}upsert/",
        CREATE_CSV,
        unique_fields="financial_account,datetime",
    )

    assert response.json()["created_count"] == 3
