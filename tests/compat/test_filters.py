"""Filters in the body of `GET …/operations/`, and of `POST …/operations/query/`."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.app.models import Account, Contract, Transaction

from .asking import ask, contracts, status_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/transactions/operations/"
ASKING = [("GET", URL), ("POST", f"{URL}query/")]


@pytest.fixture
def transactions(ledger: Any) -> list[Transaction]:
    (one, two), (open_, _) = ledger

    return [
        Transaction.objects.create(
            account=one if n % 2 else two,
            status=open_,
            datetime=timezone.make_aware(datetime.datetime(2024 + n // 3, 1, 1 + n)),
            amount=Decimal(50 * n),
            description=f"Payment {n}" if n % 2 else "fee",
        )
        for n in range(6)
    ]


def found(client: Client, filters: Any, method: str = "GET", url: str = URL) -> Any:
    response = ask(client, method, url, {"filters": filters})
    assert response.status_code == 200, response.content

    return [row["amount"].partition(".")[0] for row in response.json()["results"]]


@pytest.mark.parametrize(("method", "url"), ASKING)
def test_the_documents_own_filters(
    client: Client, transactions: Any, method: str, url: str
) -> None:
    asked = {
        "amount": {"gte": 100, "lte": 1000},
        "datetime": {"gte": "2025-01-01"},
        "account": 1,
        "description": {"icontains": "payment"},
    }

    response = ask(client, method, url, {"filters": asked})

    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"
    assert response.json()["count"] == 2
    assert response.json()["is_async"] is False
    assert [row["description"] for row in response.json()["results"]] == [
        "Payment 3",
        "Payment 5",
    ]


@pytest.mark.parametrize(
    ("filters", "amounts"),
    [
        ({}, "0 50 100 150 200 250"),
        ({"amount": 50}, "50"),
        ({"amount": {"exact": "50.00"}}, "50"),
        ({"amount": {"gt": 150}}, "200 250"),
        ({"amount": {"gte": 150}}, "150 200 250"),
        ({"amount": {"lt": 100}}, "0 50"),
        ({"amount": {"lte": 100}}, "0 50 100"),
        ({"amount": {"in": [0, "200", 7]}}, "0 200"),
        ({"amount": {"range": [50, 100]}}, "50 100"),
        ({"amount": {"isnull": True}}, ""),
        ({"amount": None}, ""),
        ({"account": {"in": [1, 2]}}, "0 50 100 150 200 250"),
        ({"account": "2"}, "0 100 200"),
        ({"account": 99}, ""),
        ({"description": {"iexact": "FEE"}}, "0 100 200"),
        ({"description": {"startswith": "Pay"}}, "50 150 250"),
        ({"description": {"istartswith": "pay"}}, "50 150 250"),
        ({"description": {"endswith": "3"}}, "150"),
        ({"description": {"iendswith": "EE"}}, "0 100 200"),
        ({"description": {"contains": "ment"}}, "50 150 250"),
        ({"description": {"gte": "Payment 3", "lt": "Q"}}, "150 250"),
        ({"datetime": {"year": 2025}}, "150 200 250"),
        ({"datetime": {"range": ["2024-01-02", "2024-12-31"]}}, "50 100"),
        ({"datetime": {"lt": "2024-01-02T00:00:00Z"}}, "0"),
    ],
)
def test_every_look_up(
    client: Client, transactions: Any, filters: Any, amounts: str
) -> None:
    assert found(client, filters) == amounts.split()


@pytest.mark.parametrize(
    ("filters", "detail"),
    [
        (
            {"password__startswith": "a"},
            "'password__startswith' cannot be filtered by.",
        ),
        ({"_connector": "OR"}, "'_connector' cannot be filtered by."),
        ({"_negated": True}, "'_negated' cannot be filtered by."),
        ({"a__b__c": 1}, "'a__b__c' cannot be filtered by."),
        ({"account__tenant": "ours"}, "'account__tenant' cannot be filtered by."),
        ({"account": {"tenant": "x"}}, "'account' has no look-up 'tenant'."),
        ({"amount": {"gte__lte": 1}}, "'amount' has no look-up 'gte__lte'."),
        ({"amount": {"icontains": "1"}}, "'amount' has no look-up 'icontains'."),
        ({"description": {"regex": "(a+)+$"}}, "'description' has no look-up 'regex'."),
        (
            {"amount": {"gte": "many"}},
            "The filter 'amount' with 'gte': A valid number is required.",
        ),
        (
            {"amount": [1, 2]},
            "The filter 'amount' with 'exact': expected a single value.",
        ),
        (
            {"amount": {"in": 5}},
            "The filter 'amount' with 'in': expected an array of at most 1000 values.",
        ),
        (
            {"amount": {"range": [1]}},
            "The filter 'amount' with 'range': expected an array of two values.",
        ),
        (
            {"amount": {"isnull": "no"}},
            "The filter 'amount' with 'isnull': expected true or false.",
        ),
        (
            {"account": 10**30},
            "The filter 'account' with 'exact': expected a number from",
        ),
        (
            {"description": "a\0b"},
            "The filter 'description' with 'exact': expected a text without null",
        ),
        (
            {"description": {"icontains": "\ud800"}},
            "The filter 'description' with 'icontains': expected a text without null",
        ),
        ({"datetime": "soon"}, "The filter 'datetime' with 'exact': Datetime has"),
        (
            {"datetime": {"year": 10**9}},
            "The filter 'datetime' with 'year': expected a number from 1 to 9999.",
        ),
    ],
)
def test_what_cannot_be_asked_is_a_problem(
    client: Client, transactions: Any, filters: Any, detail: str
) -> None:
    response = ask(client, "GET", URL, {"filters": filters})

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "invalid_filter"
    assert response.json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"where": {}}, "The body has 'where'; expected 'filters' and 'ids'."),
        ({"filters": [1]}, "filters must be an object of fields."),
        ({"ids": [True]}, "ids must be an array of primary keys."),
        ({"ids": "1,2"}, "ids must be an array of primary keys."),
        ({"ids": ["x"]}, "ids has 'x': “x” value must be an integer."),
        (
            [1, 2],
            'A question is an object, {"filters": …, "ids": …}, and not an array.',
        ),
    ],
)
def test_what_is_no_question_is_a_problem(
    client: Client, body: Any, detail: str
) -> None:
    response = ask(client, "POST", f"{URL}query/", body)

    assert response.status_code == 400
    assert response.json()["detail"] == detail


def test_an_unknown_name_is_answered_with_the_known_ones(client: Client) -> None:
    response = ask(client, "GET", URL, {"filters": {"amuont": 1}})

    assert response.json()["known"] == [
        "id",
        "account",
        "status",
        "datetime",
        "amount",
        "description",
    ]


def test_what_is_written_only_or_shown_otherwise_than_stored_is_no_filter(
    client: Client,
) -> None:
    response = ask(client, "GET", "/api/secrets/operations/", {"filters": {"x": 1}})

    # Of `number` only the end is shown; `year` is shown by a field of the project's.
    assert response.json()["known"] == ["id", "account"]


def test_a_serializer_that_rewrites_what_it_shows_has_no_filters_by_itself(
    client: Client,
) -> None:
    response = ask(client, "GET", "/api/masked/operations/", {"filters": {"id": 1}})

    assert response.json()["known"] == ["account__name", "amount"]


def test_a_view_may_declare_relations(client: Client) -> None:
    one, two = (Account.objects.create(name=name) for name in ("one", "two"))
    contracts(2, account=one)
    Contract.objects.create(number="X", year=1, account=two)

    def numbers(filters: Any) -> list[str]:
        response = ask(client, "GET", "/api/masked/operations/", {"filters": filters})
        assert response.status_code == 200, response.content

        return [row["number"] for row in response.json()["results"]]

    assert numbers({"account__name": {"startswith": "tw"}}) == ["***"]
    assert numbers({"account__name": "one"}) == ["***", "***"]


def test_relations_of_many_rows_double_none(client: Client, ledger: Any) -> None:
    (one, _), (open_, _) = ledger

    for day in (1, 2):
        Transaction.objects.create(
            account=one,
            status=open_,
            amount=1,
            datetime=timezone.make_aware(datetime.datetime(2024, 1, day)),
        )

    response = ask(
        client,
        "GET",
        "/api/accounts/operations/",
        {"filters": {"transaction__amount": {"gte": 1}}},
    )

    assert [row["id"] for row in response.json()["results"]] == [one.pk]


def test_filters_stay_within_what_the_view_shows(client: Client) -> None:
    ours, theirs = (Account.objects.create(name=name) for name in "AB")
    contracts(2, account=theirs)
    url = f"/api/accounts/{ours.pk}/contracts/operations/"

    for filters in ({}, {"year": {"gte": 0}}, {"account": theirs.pk}):
        assert ask(client, "GET", url, {"filters": filters}).json()["count"] == 0


def test_a_views_filterset_is_the_one_that_counts(client: Client) -> None:
    contracts(4)
    url = "/api/filterset-contracts/operations/"

    def numbers(filters: Any, query: str = "") -> list[str]:
        response = ask(client, "GET", url + query, {"filters": filters})
        assert response.status_code == 200, response.content

        return [row["number"] for row in response.json()["results"]]

    assert numbers({"year": {"gte": 2002}}) == ["C002", "C003"]
    assert numbers({"since": 2003}) == ["C003"]
    assert numbers({"number": {"in": ["C001", "C003"]}}) == ["C001", "C003"]
    assert numbers({}, "?since=2002") == ["C002", "C003"]
    assert numbers({"number": {"in": ["C001", "C003"]}}, "?since=2002") == ["C003"]

    unknown = ask(client, "GET", url, {"filters": {"amount": 1}})
    wrong = ask(client, "GET", url, {"filters": {"since": "then"}})

    assert unknown.status_code == wrong.status_code == 400
    assert unknown.json()["known"] == ["year__gte", "number__in", "since"]
    assert wrong.json()["errors"] == [
        {"pointer": "/filters/since", "detail": "Enter a number."}
    ]


def test_a_large_set_is_read_by_a_job_with_the_same_filters(client: Client) -> None:
    contracts(230)
    asked = {"filters": {"year": {"gte": 2010}}}

    response = ask(client, "GET", "/api/contracts/operations/", asked)

    body = response.json()
    assert response.status_code == 202
    assert body["message"] == "Get task started for 110 items"
    assert (body["total_items"], body["is_async"]) == (110, True)
    result = status_of(client, response)["result"]
    assert result["operation_type"] == "async_get"
    assert (result["success_count"], result["error_count"]) == (110, 0)
    lines = b"".join(client.get(body["results_url"])).splitlines()
    assert len(lines) == 110
    assert lines[0].startswith(b'{"id":')
