"""`/operations/`, `/bulk/` and `/upsert/` under stock routers."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from django_partstream.models import Job
from tests.app.models import Account, Contract

from .asking import ask, contracts, run, status_of, years

pytestmark = [pytest.mark.database, pytest.mark.django_db]

BASES = (
    "/api/contracts/",
    "/api/old-contracts/",
    "/api/simple-contracts/",
    "/api/async-contracts/",
    "/api/drf-async/",
)
NAMES = ("operations", "bulk")


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", NAMES)
def test_five_methods_under_each_router(client: Client, base: str, name: str) -> None:
    url = f"{base}{name}/"

    created = status_of(
        client, ask(client, "POST", url, [{"number": n, "year": 1} for n in "ABC"])
    )
    a, b, c = created["result"]["created_ids"]
    updated = status_of(client, ask(client, "PATCH", url, [{"id": a, "year": 7}]))
    replaced = status_of(
        client, ask(client, "PUT", url, [{"id": b, "number": "N", "year": 8}])
    )
    deleted = status_of(client, ask(client, "DELETE", url, [c]))
    got = client.get(f"{url}?ids={b},{a}")

    assert [s["state"] for s in (created, updated, replaced, deleted)] == [
        "SUCCESS"
    ] * 4
    assert [
        s["result"]["operation_type"] for s in (created, updated, replaced, deleted)
    ] == ["async_create", "async_update", "async_replace", "async_delete"]
    assert deleted["result"]["deleted_ids"] == [c]
    assert years() == {"A": 7, "N": 8}
    assert got.status_code == 200
    assert [row["number"] for row in got.json()["results"]] == ["N", "A"]
    assert got.json()["is_async"] is False


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_upserts_at_once_under_each_router(
    client: Client, base: str, method: str
) -> None:
    (stored,) = contracts(1)
    rows = [{"number": "C000", "year": 5}, {"number": "NEW", "year": 6}]

    response = ask(client, method, f"{base}upsert/?unique_fields=number", rows)

    new = Contract.objects.get(number="NEW")
    assert response.status_code == 200
    assert response.json() == {
        "message": "Upsert completed successfully",
        "total_items": 2,
        "created_count": 1,
        "updated_count": 1,
        "unchanged_count": 0,
        "error_count": 0,
        "created_ids": [new.pk],
        "updated_ids": [stored.pk],
        "unchanged_ids": [],
        "errors": [],
        "unique_fields": ["number"],
        "update_fields": ["year", "amount", "account"],
        "is_sync": True,
    }
    assert years() == {"C000": 5, "NEW": 6}


def test_the_answer_to_a_job_has_the_documented_members(client: Client) -> None:
    rows = [{"number": n, "year": 1} for n in "AB"]

    response = ask(client, "POST", "/api/contracts/operations/", rows)

    job = Job.objects.get()
    status = f"/api/operations/{job.pk}/status/"
    assert response.status_code == 202
    assert response.json() == {
        "message": "Create task started for 2 items",
        "task_id": str(job.pk),
        "total_items": 2,
        "is_async": True,
        "status_url": status,
        "events_url": f"/api/operations/{job.pk}/events/",
        "results_url": f"/api/operations/{job.pk}/results/",
    }
    assert response["Location"] == status
    assert response["Retry-After"] == "1"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
@pytest.mark.parametrize("where", ["query", "body"])
def test_a_job_upserts_by_the_fields_that_it_is_told(
    client: Client, method: str, where: str
) -> None:
    contracts(1)
    rows = [{"number": "C000", "year": 5}, {"number": "NEW", "year": 6}]
    url = "/api/contracts/operations/"

    if where == "query":
        response = ask(client, method, f"{url}?unique_fields=number", rows)
    else:
        wrapper = {"data": rows, "unique_fields": ["number"], "update_fields": ["year"]}
        response = ask(client, method, url, wrapper)

    result = status_of(client, response)["result"]
    assert result["operation_type"] == "async_upsert"
    assert (result["created_count"], result["updated_count"]) == (1, 1)
    assert years() == {"C000": 5, "NEW": 6}


def test_a_nested_collection_has_them_too(client: Client) -> None:
    ours, theirs = (Account.objects.create(name=name) for name in "AB")
    (hidden,) = contracts(1, account=theirs)
    base = f"/api/accounts/{ours.pk}/contracts/"
    rows = [{"number": "N", "year": 1, "account": ours.pk}]

    status_of(client, ask(client, "POST", f"{base}operations/", rows))
    too_many = [{"number": f"M{n}", "year": 1} for n in range(51)]
    refused = ask(client, "POST", f"{base}upsert/?unique_fields=number", too_many)
    seen = client.get(f"{base}operations/").json()
    asked = client.get(f"{base}operations/?ids={hidden.pk}").json()

    assert [row["number"] for row in seen["results"]] == ["N"]
    assert asked["missing"] == [hidden.pk]
    assert refused.json()["use"] == (
        f"http://testserver{base}operations/?unique_fields=number"
    )


def test_one_mixin_one_method(client: Client) -> None:
    row = [{"number": "A", "year": 1}]
    (stored,) = contracts(1)

    assert ask(client, "POST", "/api/creates/operations/", row).status_code == 202
    assert client.get("/api/creates/operations/").status_code == 405
    assert client.get("/api/creates/").status_code == 404
    assert ask(client, "POST", "/api/pieces/operations/", row).status_code == 405
    assert ask(client, "GET", "/api/pieces/operations/").status_code == 405
    patched = ask(client, "PATCH", "/api/pieces/operations/", [{"id": stored.pk}])
    assert patched.status_code == 202
    assert ask(client, "POST", "/api/pieces/bulk/", row).status_code in (404, 405)
    assert client.get("/api/async-reads/operations/").json()["count"] == 1
    assert ask(client, "POST", "/api/async-reads/operations/", row).status_code == 405


def test_who_has_only_jobs_or_upserts_has_a_plain_collection(client: Client) -> None:
    rows = [{"number": "A", "year": 1}]

    for base in ("/api/upserts/", "/api/pieces/"):
        assert ask(client, "PATCH", base, rows).status_code == 405
        assert ask(client, "DELETE", base, [1]).status_code == 405
        refused = ask(client, "POST", base, rows)
        assert refused.status_code == 400
        assert refused.json()["non_field_errors"]
        assert ask(client, "POST", base, rows[0]).status_code == 201
        Contract.objects.all().delete()


@pytest.mark.parametrize(
    ("method", "name", "allowed"),
    [
        ("GET", "operations", True),
        ("POST", "operations/query", True),
        ("POST", "operations", False),
        ("PATCH", "bulk", False),
        ("PUT", "operations", False),
        ("DELETE", "operations", False),
        ("POST", "upsert", False),
        ("PATCH", "upsert", False),
    ],
)
def test_permissions_by_action_guard_many_as_one(
    client: Client, method: str, name: str, allowed: bool
) -> None:
    client.force_login(get_user_model().objects.create_user("ann"))
    contracts(1)
    body = {} if "query" in name else [{"number": "A", "year": 1}]

    response = ask(
        client,
        method,
        f"/api/guarded/{name}/?unique_fields=number",
        None if method == "GET" else body,
    )

    assert response.status_code == (200 if allowed else 403), response.content
    assert years() == {"C000": 2000}
    assert not Job.objects.exists()


def test_who_only_reads_at_home_only_reads_elsewhere(client: Client) -> None:
    contracts(1)
    row = [{"number": "C000", "year": 1}]

    for method in ("POST", "PATCH", "PUT", "DELETE"):
        for name in NAMES:
            url = f"/api/read-only/{name}/?unique_fields=number"
            assert ask(client, method, url, row).status_code == 405

    assert client.get("/api/read-only/operations/").json()["count"] == 1
    assert ask(client, "POST", "/api/read-only/upsert/", row).status_code in (404, 405)
    assert years() == {"C000": 2000}


@pytest.mark.parametrize("base", ["/api/creating/", "/api/posting/"])
@pytest.mark.parametrize("name", ["", "operations/", "upsert/"])
def test_who_changes_nothing_at_home_changes_nothing_by_an_upsert(
    client: Client, base: str, name: str
) -> None:
    contracts(1)
    rows = [{"number": "C000", "year": 1}, {"number": "NEW", "year": 2}]

    response = ask(
        client,
        "POST",
        f"{base}{name}?unique_fields=number",
        rows,
        Prefer="handling=lenient",
    )

    if response.status_code == 202:
        (error,) = status_of(client, response)["result"]["errors"]
    elif name:
        (error,) = response.json()["errors"]
    else:
        error, _ = response.json()["results"]

    assert error["row"] == 1
    assert error["errors"] == [
        {
            "pointer": "",
            "code": "permission_denied",
            "detail": "PATCH is not allowed here.",
        }
    ]
    assert years() == {"C000": 2000, "NEW": 2}


def test_a_viewsets_own_address_stays_its_own(client: Client) -> None:
    assert client.get("/api/own-bulk/bulk/").json() == "mine"
    assert client.get("/api/own-bulk/operations/").json()["count"] == 0


def test_the_addresses_have_names() -> None:
    assert reverse("contract-operations") == "/api/contracts/operations/"
    assert reverse("contract-bulk") == "/api/contracts/bulk/"
    assert reverse("contract-upsert") == "/api/contracts/upsert/"
    assert reverse("contract-operations-query") == "/api/contracts/operations/query/"


def test_options_say_what_is_allowed(client: Client) -> None:
    response = client.options("/api/contracts/upsert/")

    assert response.status_code == 200
    assert response["Allow"] == "POST, PUT, PATCH, OPTIONS"


def test_an_upsert_of_too_many_names_where_they_may_go(client: Client) -> None:
    rows = [{"number": f"N{n}", "year": 1} for n in range(51)]

    refused = ask(client, "POST", "/api/contracts/upsert/?unique_fields=number", rows)
    alone = ask(client, "POST", "/api/upserts/upsert/?unique_fields=number", rows)
    taken = ask(client, "POST", refused.json()["use"], rows)

    assert refused.status_code == alone.status_code == 413
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json() == {
        "type": "about:blank",
        "title": "Request Entity Too Large",
        "status": 413,
        "detail": "At most 50 rows are answered here at once; these are 51. Send them "
        "to http://testserver/api/contracts/operations/?unique_fields=number.",
        "code": "too_many_rows",
        "limit": 50,
        "rows": 51,
        "use": "http://testserver/api/contracts/operations/?unique_fields=number",
    }
    assert alone.json()["detail"].endswith("these are 51. Send fewer at once.")
    run(taken)
    assert Contract.objects.count() == 51


def test_an_upsert_must_know_its_key(client: Client) -> None:
    response = ask(client, "POST", "/api/contracts/upsert/", [{"number": "A"}])

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_unique_fields"
    assert response.json()["detail"] == (
        "An upsert needs to know which fields make a row unique. Name them, for "
        "example ?unique_fields=number."
    )


def test_an_upsert_with_a_bad_row_writes_nothing_unless_the_client_is_lenient(
    client: Client,
) -> None:
    rows = [{"number": "A", "year": 1}, {"number": "B", "year": "late"}]
    url = "/api/contracts/upsert/?unique_fields=number"

    strict = ask(client, "POST", url, rows)
    stored = years()
    lenient = ask(client, "POST", url, rows, Prefer="handling=lenient")

    assert strict.status_code == 400
    assert [row["row"] for row in strict.json()["rows"]] == [2]
    assert stored == {}
    assert lenient.status_code == 207
    assert lenient["Preference-Applied"] == "handling=lenient"
    assert lenient.json()["created_count"] == lenient.json()["error_count"] == 1
    assert lenient.json()["errors"] == [
        {
            "index": 1,
            "row": 2,
            "line": None,
            "outcome": "failed",
            "pk": None,
            "error": "year: A valid integer is required.",
            "data": {"number": "B", "year": "late"},
            "errors": [
                {
                    "pointer": "/year",
                    "code": "invalid",
                    "detail": "A valid integer is required.",
                }
            ],
        }
    ]
    assert years() == {"A": 1}


def test_a_single_object_is_upserted(client: Client) -> None:
    response = ask(
        client,
        "POST",
        "/api/contracts/upsert/?unique_fields=number",
        {"number": "A", "year": 1},
    )

    assert response.json()["total_items"] == response.json()["created_count"] == 1
