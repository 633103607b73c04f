"""Many rows on a viewset's own address, and one object as ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection, connections, transaction
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from rest_framework.routers import SimpleRouter

from django_partstream.models import Job
from django_partstream.signals import bulk_written
from tests.app.models import Contract, Shouted
from tests.app.views import (
    ContractViewSet,
    OwnActionsViewSet,
    ReadOnlyContractsViewSet,
)
from tests.test_upserts import run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

JSON = "application/json"
URL = "/api/contracts/"


def ask(
    client: Client,
    method: str,
    rows: Any = None,
    *,
    url: str = URL,
    content_type: str = JSON,
    **headers: str,
) -> Any:
    body = rows if isinstance(rows, bytes) else json.dumps(rows).encode()

    return client.generic(
        method,
        url,
        b"" if rows is None else body,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def contracts(count: int = 3, **values: Any) -> list[Contract]:
    return [
        Contract.objects.create(number=f"C{n}", year=2000 + n, **values)
        for n in range(count)
    ]


def years() -> dict[str, int]:
    return dict(Contract.objects.order_by("number").values_list("number", "year"))


# ---- each method


def test_an_array_is_created_and_answered_in_input_order(client: Client) -> None:
    response = ask(client, "POST", [{"number": n, "year": 1} for n in "BAC"])

    assert response.status_code == 201
    assert response["Bulk-Mode"] == "batch"
    assert [row["number"] for row in response.json()] == ["B", "A", "C"]
    assert {row["id"]: row["number"] for row in response.json()} == dict(
        Contract.objects.values_list("pk", "number")
    )


def test_an_array_updates_what_it_says_of_each(client: Client) -> None:
    a, b, c = contracts(amount="5.00")

    response = ask(
        client,
        "PATCH",
        [{"id": c.pk, "year": 7}, {"id": a.pk, "amount": None}, {"id": b.pk}],
    )

    assert response.status_code == 200
    assert [(row["number"], row["year"], row["amount"]) for row in response.json()] == [
        ("C2", 7, "5.00"),
        ("C0", 2000, None),
        ("C1", 2001, "5.00"),
    ]


def test_an_array_replaces_and_must_be_complete(client: Client) -> None:
    a, b, _ = contracts()
    whole = {"id": a.pk, "number": "N", "year": 1}

    refused = ask(client, "PUT", [whole, {"id": b.pk, "number": "M"}])
    taken = ask(client, "PUT", [whole])

    assert refused.status_code == 400
    assert refused.json()["rows"] == [
        {
            "row": 2,
            "errors": [
                {
                    "pointer": "/year",
                    "code": "required",
                    "detail": "This field is required.",
                }
            ],
        }
    ]
    assert taken.status_code == 200
    assert years() == {"N": 1, "C1": 2001, "C2": 2002}


@pytest.mark.parametrize("by", ["id", "object", "key"])
def test_an_array_deletes(client: Client, by: str) -> None:
    first, second, _ = contracts()
    rows: Any = {
        "id": [first.pk, second.pk],
        "object": [{"id": first.pk}, {"id": second.pk}],
        "key": [{"number": "C0"}, {"number": "C1"}],
    }[by]

    response = ask(client, "DELETE", rows)

    assert response.status_code == 200
    assert response.json() == {
        "message": "Successfully deleted 2 instances",
        "count": 2,
    }
    assert years() == {"C2": 2002}


def test_one_bad_row_and_nothing_is_written(client: Client) -> None:
    a, *_ = contracts()
    before = years()

    for method, rows in [
        ("POST", [{"number": "X", "year": 1}, {"number": "C1", "year": 1}]),
        ("PATCH", [{"id": a.pk, "year": 1}, {"id": 0, "year": 1}]),
        ("PUT", [{"id": a.pk, "number": "X", "year": 1}, {"number": "Y"}]),
        ("DELETE", [a.pk, 0]),
    ]:
        response = ask(client, method, rows)

        assert response.status_code == 400, method
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "invalid_rows"
        assert [row["row"] for row in response.json()["rows"]] == [2]
        assert years() == before


def test_a_key_twice_is_what_it_is_row_by_row(client: Client) -> None:
    a, *_ = contracts()

    created = ask(client, "POST", [{"number": "X", "year": y} for y in (1, 2)])
    updated = ask(client, "PATCH", [{"id": a.pk, "year": y} for y in (1, 2)])
    deleted = ask(client, "DELETE", [a.pk, a.pk])

    assert created.json()["rows"][0]["errors"][0]["code"] == "unique"
    assert [row["year"] for row in updated.json()] == [2, 2]
    assert deleted.json()["rows"][0]["errors"][0]["code"] == "does_not_exist"


@pytest.mark.parametrize(
    ("method", "status", "message"),
    [
        ("POST", 201, "Successfully created 3 instances"),
        ("PATCH", 200, "Successfully updated 3 instances"),
        ("PUT", 200, "Successfully replaced 3 instances"),
    ],
)
def test_minimal_is_minimal(
    client: Client, method: str, status: int, message: str
) -> None:
    rows: list[dict[str, Any]] = [{"number": f"N{n}", "year": n} for n in range(3)]

    if method != "POST":
        rows = [
            {"id": contract.pk, **row}
            for contract, row in zip(contracts(), rows, strict=True)
        ]

    response = ask(client, method, rows, Prefer="return=minimal")

    assert response.status_code == status
    assert response["Preference-Applied"] == "return=minimal"
    assert response.json() == {
        "message": message,
        "count": 3,
        "serialization_skipped": True,
    }


def test_the_lenient_are_told_of_each_row(client: Client) -> None:
    a, *_ = contracts()

    response = ask(
        client,
        "PATCH",
        [{"id": a.pk, "year": 7}, {"id": a.pk, "year": 7}, {"id": a.pk, "year": "x"}],
        Prefer="handling=lenient",
    )

    stored = {"id": a.pk, "number": "C0", "year": 7, "amount": None, "account": None}
    error = {
        "pointer": "/year",
        "code": "invalid",
        "detail": "A valid integer is required.",
    }
    assert response.status_code == 207
    assert response["Preference-Applied"] == "handling=lenient"
    assert list(response.json().items()) == [
        ("created", 0),
        ("updated", 1),
        ("unchanged", 1),
        ("deleted", 0),
        ("failed", 1),
        (
            "results",
            [
                {"row": 1, "outcome": "updated", "pk": a.pk, "data": stored},
                {"row": 2, "outcome": "unchanged", "pk": a.pk, "data": stored},
                {"row": 3, "errors": [error], "outcome": "failed"},
            ],
        ),
    ]


def test_the_lenient_delete_what_can_be(client: Client) -> None:
    a, *_ = contracts()

    response = ask(client, "DELETE", [a.pk, 0], Prefer="handling=lenient")

    assert response.status_code == 207
    assert (response.json()["deleted"], response.json()["failed"]) == (1, 1)
    assert response.json()["results"][0] == {
        "row": 1,
        "outcome": "deleted",
        "pk": a.pk,
    }


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("handling", ["", ", handling=lenient"])
def test_a_dry_run_reports_the_same_and_leaves_nothing(
    client: Client, method: str, handling: str
) -> None:
    a, *_ = contracts()
    before = years()
    rows: Any = {
        "POST": [{"number": "N", "year": 1}],
        "PATCH": [{"id": a.pk, "year": 1}],
        "DELETE": [a.pk],
    }[method]

    tried = ask(client, method, rows, Prefer="tx=rollback" + handling)
    assert years() == before
    done = ask(client, method, rows, Prefer=handling.removeprefix(", "))

    assert "tx=rollback" in tried["Preference-Applied"]
    assert tried.status_code == done.status_code
    assert years() != before

    if method == "POST":
        # A sequence does not go back.
        assert json.dumps(tried.json()).count('"N"') == 1
    else:
        assert tried.json() == done.json()


def test_csv_updates_only_what_its_cells_say(client: Client) -> None:
    a, b, _ = contracts(amount="5.00")
    body = f"id,year,amount\n{a.pk},7,\n{b.pk},,NA\n".encode()

    response = ask(client, "PATCH", body, content_type="text/csv")

    assert response.status_code == 200, response.content
    assert [(row["year"], row["amount"]) for row in response.json()] == [
        (7, "5.00"),
        (2001, None),
    ]


def test_csv_creates_and_deletes(client: Client) -> None:
    created = ask(client, "POST", b"number,year\nA,1\nB,2\n", content_type="text/csv")
    ids = "\n".join(str(row["id"]) for row in created.json())
    deleted = ask(client, "DELETE", f"id\n{ids}\n".encode(), content_type="text/csv")

    assert created.status_code == 201
    assert deleted.json()["count"] == 2
    assert years() == {}


# ---- upsert by the other methods


def test_patch_and_put_with_unique_fields_are_upserts(client: Client) -> None:
    contracts(1, amount="5.00")
    url = f"{URL}?unique_fields=number"

    patched = ask(
        client,
        "PATCH",
        [{"number": "C0", "year": 1}, {"number": "N", "year": 2}],
        url=url,
    )
    put = ask(client, "PUT", [{"number": "C0"}], url=url)

    assert patched.status_code == 200, patched.content
    assert years() == {"C0": 1, "N": 2}
    assert put.json()["rows"][0]["errors"][0]["pointer"] == "/year"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_one_object_or_a_wrapper_is_taken_for_rows(client: Client, method: str) -> None:
    row = {"number": "C0", "year": 1}

    one = ask(client, method, row, url=f"{URL}?unique_fields=number")
    wrapped = ask(
        client,
        "PATCH",
        {"data": [row], "unique_fields": ["number"], "update_fields": "year"},
    )

    assert one.status_code == wrapped.status_code == 200, one.content
    assert one.json()["number"] == "C0"
    assert wrapped.json() == [one.json()]


@pytest.mark.parametrize(
    ("method", "body", "code"),
    [
        ("PATCH", b'{"data": [], "unique_fields": [1]}', "bad_request"),
        ("PATCH", b'{"data": [', "invalid_json"),
        ("PATCH", b'{"data": NaN}', "invalid_json"),
        ("PATCH", b"", "empty_upload"),
        ("DELETE", b"", "empty_upload"),
        ("PUT", b"7", "invalid_json"),
        ("DELETE", b'{"a": "' + b"x" * 3_000_000 + b'"}', "too_large"),
    ],
)
def test_what_is_no_rows_is_a_problem(
    client: Client, method: str, body: bytes, code: str
) -> None:
    response = ask(client, method, body)

    assert response.status_code in (400, 413), response.content
    assert response.json()["code"] == code


# ---- who may


def user(**values: Any) -> Any:
    return get_user_model().objects.create_user("ann", **values)


def test_each_method_needs_its_own_permission(client: Client) -> None:
    a, *_ = contracts()
    ann = user()
    client.force_login(ann)
    url = "/api/model-permission-contracts/"
    key = f"{url}?unique_fields=number"
    asked: list[tuple[str, str, Any, str]] = [
        ("add", "POST", [{"number": "N", "year": 1}], url),
        ("change", "PATCH", [{"id": a.pk, "year": 1}], url),
        ("change", "PUT", [{"id": a.pk, "number": "C0", "year": 2}], url),
        ("change", "PATCH", [{"number": "C0", "year": 3}], key),
        ("delete", "DELETE", [a.pk], url),
    ]

    for name, method, rows, where in asked:
        ann.user_permissions.clear()
        client.force_login(get_user_model().objects.get())
        assert ask(client, method, rows, url=where).status_code == 403
        ann.user_permissions.add(Permission.objects.get(codename=f"{name}_contract"))
        client.force_login(get_user_model().objects.get())
        answered = ask(client, method, rows, url=where)
        assert answered.status_code in (200, 201), answered.content


def test_a_patch_that_would_create_needs_the_permission_to_create(
    client: Client,
) -> None:
    contracts(1)
    ann = user()
    ann.user_permissions.add(Permission.objects.get(codename="change_contract"))
    client.force_login(ann)

    response = ask(
        client,
        "PATCH",
        [{"number": "C0", "year": 1}, {"number": "N", "year": 1}],
        url="/api/model-permission-contracts/?unique_fields=number",
    )

    assert response.status_code == 400
    assert [
        (row["row"], row["errors"][0]["code"]) for row in response.json()["rows"]
    ] == [(2, "permission_denied")]
    assert years() == {"C0": 2000}


@pytest.mark.parametrize(
    ("method", "action"),
    [
        ("POST", "create"),
        ("PATCH", "partial_update"),
        ("PUT", "update"),
        ("DELETE", "destroy"),
        ("GET", "list"),
    ],
)
def test_actions_keep_the_names_of_drf(
    client: Client, method: str, action: str
) -> None:
    (a,) = contracts(1)
    rows = [a.pk] if method == "DELETE" else [{"id": a.pk, "number": "N", "year": 1}]
    OwnActionsViewSet.ACTIONS.clear()

    denied = ask(client, method, rows, url="/api/own-actions/", X_Denied=action)
    allowed = ask(client, method, rows, url="/api/own-actions/")

    assert denied.status_code == 403
    assert allowed.status_code in (200, 201)
    assert set(OwnActionsViewSet.ACTIONS) == {action}


def test_a_refusal_of_rows_is_a_problem_and_of_one_object_is_drfs(
    client: Client,
) -> None:
    url = "/api/model-permission-contracts/"

    rows = ask(client, "POST", [], url=url)
    one = ask(client, "POST", {"number": "A"}, url=url)

    assert (rows.status_code, rows["Content-Type"]) == (403, "application/problem+json")
    assert rows.json()["code"] == "not_authenticated"
    assert one.json() == {"detail": "Authentication credentials were not provided."}


# ---- many ids


def test_ids_are_answered_in_the_order_asked(client: Client) -> None:
    a, b, c = contracts()

    response = client.get(f"{URL}?ids={c.pk}, {a.pk},0,{b.pk},{c.pk}")

    assert response.status_code == 200
    body = response.json()
    assert [row["number"] for row in body.pop("results")] == ["C2", "C0", "C1", "C2"]
    assert body == {"count": 4, "operation_type": "multi_get", "missing": [0]}


def test_ids_of_rows_that_may_not_be_seen_are_missing(client: Client) -> None:
    a, b, _ = contracts()
    Contract.objects.filter(pk=b.pk).update(year=2000)

    response = client.get(f"/api/year-contracts/?ids={a.pk},{b.pk},9999&year=2000")
    other = client.get(f"/api/year-contracts/?ids={a.pk},{b.pk},9999&year=1")

    assert response.json()["missing"] == [9999]
    assert other.json()["missing"] == [a.pk, b.pk, 9999]
    assert other.json()["results"] == []


def test_what_is_no_id_is_a_problem(client: Client) -> None:
    response = client.get(f"{URL}?ids=1,x")

    assert response.status_code == 400
    assert response.json()["detail"] == "ids has 'x': “x” value must be an integer."
    assert client.get(f"{URL}?ids=").json()["count"] == 0
    assert client.get(f"{URL}?ids={9**99}").json()["missing"] == [9**99]
    too_many = client.get("/api/few-contracts/?ids=1,2,3")
    assert too_many.status_code == 413


def test_many_ids_are_a_few_queries(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    pks = [contract.pk for contract in contracts(60)]

    with django_assert_max_num_queries(4):
        response = client.get(f"{URL}?ids={','.join(map(str, pks))}")

    assert response.json()["count"] == 60


# ---- one object, as by plain DRF


def test_one_object_is_answered_byte_for_byte_as_by_plain_drf(client: Client) -> None:
    asked: list[tuple[str, str, Any]] = [
        ("POST", "", {"number": "A", "year": 1}),
        ("POST", "", {"number": "A"}),
        ("POST", "", b"{"),
        ("POST", "", b'"text"'),
        ("POST", "", b"   "),
        ("GET", "", None),
        ("GET", "?page=x", None),
        ("OPTIONS", "", None),
        ("GET", "{pk}/", None),
        ("PATCH", "{pk}/", {"year": 2}),
        ("PATCH", "{pk}/", {"year": "x"}),
        ("PUT", "{pk}/", {"number": "A", "year": 3}),
        ("PUT", "{pk}/", {"year": 3}),
        ("OPTIONS", "{pk}/", None),
        ("PATCH", "0/", {"year": 2}),
        ("DELETE", "{pk}/", None),
        ("DELETE", "{pk}/", None),
    ]

    def replies(collection: str) -> list[Any]:
        said = []

        for method, path, rows in asked:
            differ = {"Allow", "Content-Length" if method == "OPTIONS" else "Allow"}
            pk = Contract.objects.values_list("pk", flat=True).first() or 0
            url = f"/api/{collection}/{path.format(pk=pk)}"
            response = ask(client, method, rows, url=url)
            headers = {k: v for k, v in response.headers.items() if k not in differ}
            body = response.content.replace(f'"id":{pk}'.encode(), b'"id":0')
            said.append((method, path, response.status_code, headers, body))

        return said

    with transaction.atomic():
        Contract.objects.create(pk=900, number="Z", year=1)
        plain = replies("plain-contracts")
        Contract.objects.all().delete()

    Contract.objects.create(pk=900, number="Z", year=1)
    ours = replies("contracts")

    for one, other in zip(ours, plain, strict=True):
        assert _comparable(*one) == _comparable(*other)


def _comparable(method: str, path: str, status: int, headers: Any, body: bytes) -> Any:
    """Without what tells the two views apart, and ids that a sequence gave."""
    if body[:1] not in (b"{", b"["):
        return method, path, status, headers, body

    said = json.loads(body)

    for row in said if isinstance(said, list) else [said]:
        for name in ("id", "name", "description", "actions"):
            row.pop(name, None)

    # The order of the members counts too.
    return method, path, status, headers, json.dumps(said)


def test_a_form_of_one_object_is_one_object(client: Client) -> None:
    response = client.post(URL, {"number": "A", "year": 1})

    assert response.status_code == 201
    assert response.json()["number"] == "A"


# ---- routing


def test_routers_map_only_what_the_viewset_can(client: Client) -> None:
    def allowed(viewset: Any) -> list[set[str]]:
        router = SimpleRouter()
        router.register("x", viewset, basename="x")

        callbacks: list[Any] = [url.callback for url in router.urls]

        return [
            set(callback.actions) - {"head"}
            for callback in callbacks
            if "bulk_purpose" not in callback.initkwargs
        ]

    collection, detail = allowed(ContractViewSet)
    assert collection == {"get", "post", "put", "patch", "delete"}
    assert detail == {"get", "put", "patch", "delete"}
    assert allowed(ReadOnlyContractsViewSet) == [{"get"}, {"get"}]
    (a,) = contracts(1)
    ids = client.get(f"/api/read-contracts/?ids={a.pk}")
    assert ids.json()["count"] == 1
    assert ask(client, "POST", [], url="/api/read-contracts/").status_code == 405
    assert ask(client, "DELETE", [], url="/api/read-contracts/").status_code == 405


def test_the_collection_can_be_browsed(client: Client, settings: Any) -> None:
    contracts()
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
        }
    ]
    client.force_login(user(is_staff=True))

    for path in ("", f"{Contract.objects.first().pk}/"):  # type: ignore[union-attr]
        response = client.get(URL + path, headers={"Accept": "text/html"})

        assert response.status_code in (200, 406), response.content


# ---- how many


def test_more_rows_than_are_answered_at_once_become_a_job(client: Client) -> None:
    rows = [{"number": f"N{n}", "year": n} for n in range(3)]

    created = ask(client, "POST", rows, url="/api/few-contracts/")
    job = run(Job.objects.get(pk=created.json()["task_id"]))

    assert created.status_code == 202
    assert created.json()["message"] == "Create task started for 3 items"
    assert (job.kind, job.state, job.created) == ("async_create", "SUCCESS", 3)

    pks = [*Contract.objects.order_by("pk").values_list("pk", flat=True)]
    updates = [{"id": pk, "year": 7} for pk in [*pks, 0]]
    updated = ask(client, "PATCH", updates, url="/api/few-contracts/")
    job = run(Job.objects.get(pk=updated.json()["task_id"]))
    assert (job.kind, job.updated, job.failed) == ("async_update", 3, 1)

    deleted = ask(client, "DELETE", pks, url="/api/few-contracts/")
    job = run(Job.objects.get(pk=deleted.json()["task_id"]))
    assert (job.kind, job.deleted, years()) == ("async_delete", 3, {})


def test_without_jobs_too_many_rows_are_refused(client: Client) -> None:
    rows = [{"number": f"N{n}", "year": n} for n in range(3)]

    response = ask(client, "POST", rows, url="/api/sync-contracts/")
    dry = ask(client, "POST", rows, url="/api/few-contracts/", Prefer="tx=rollback")
    few = ask(
        client, "POST", rows[:2], url="/api/sync-contracts/", Prefer="respond-async"
    )

    assert response.status_code == dry.status_code == 413
    assert response.json()["detail"] == (
        "Requests are answered at once here, with at most 2 rows; these are 3. Send "
        "fewer at once."
    )
    assert dry.json()["code"] == "too_many_rows"
    assert few.status_code == 201
    assert not Job.objects.exists()


# ---- adrf


@pytest.fixture
async def no_connection_left() -> AsyncIterator[None]:
    """The thread that async tests share keeps its connection."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/api/async-contracts/", "/api/drf-async/"])
@pytest.mark.usefixtures("no_connection_left")
async def test_async_viewsets_do_the_same(async_client: AsyncClient, url: str) -> None:
    async def asked(method: str, rows: Any, path: str = "") -> Any:
        response = await async_client.generic(
            method, url + path, json.dumps(rows), content_type=JSON
        )

        return response.status_code, response.json() if response.content else None

    status, created = await asked("POST", [{"number": n, "year": 1} for n in "AB"])
    assert status == 201
    ids = [row["id"] for row in created]
    assert (await asked("PATCH", [{"id": ids[0], "year": 2}]))[1][0]["year"] == 2
    key = "?unique_fields=number"
    assert (await asked("POST", [{"number": "A", "year": 3}], key))[1][0]["year"] == 3
    listed = await async_client.get(f"{url}?ids={ids[1]},{ids[0]}")
    assert [row["number"] for row in listed.json()["results"]] == ["B", "A"]
    assert (await asked("POST", {"number": "C", "year": 1}))[0] == 201
    assert (await asked("PUT", {"number": "D", "year": 1}, f"{ids[0]}/"))[0] == 200
    assert (await asked("DELETE", None, f"{ids[0]}/"))[0] == 204
    assert (await asked("DELETE", [ids[1], 0]))[0] == 400
    assert await asked("DELETE", [ids[1]]) == (
        200,
        {"message": "Successfully deleted 1 instances", "count": 1},
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_connection_left")
async def test_async_hooks_are_honoured_row_by_row(async_client: AsyncClient) -> None:
    async def asked(method: str, rows: Any) -> Any:
        return await async_client.generic(
            method, "/api/async-shouts/", json.dumps(rows), content_type=JSON
        )

    created = await asked("POST", [{"name": "a"}, {"name": "b"}])
    assert created.status_code == 201, created.content
    assert created["Bulk-Mode"] == (
        'rows; reason="AsyncShoutsViewSet.perform_acreate() is overridden"'
    )
    stored = Shouted.objects.order_by("pk").values_list("shout", "times")
    assert [each async for each in stored] == [("A", 0), ("B", 1)]

    deleted = await asked("DELETE", [row["id"] for row in created.json()])
    assert deleted.status_code == 400
    assert deleted.json()["rows"][0]["errors"][0]["code"] == "permission_denied"
    assert await Shouted.objects.acount() == 2


# ---- others in the way


def test_in_the_callers_transaction_a_deadlock_is_503(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from django_partstream import operations

    calls: list[int] = []

    def collide(*_: Any) -> Any:
        calls.append(1)
        raise OperationalError(1213, "Deadlock found") from Exception

    monkeypatch.setattr(operations, "_run", collide)

    response = ask(client, "POST", [{"number": "A", "year": 1}])

    assert connection.in_atomic_block
    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert response.json()["code"] == "busy"
    assert calls == [1]


@pytest.mark.django_db(transaction=True)
def test_in_a_transaction_of_ours_it_is_tried_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from django_partstream import operations

    calls: list[int] = []
    real = operations._run

    def collide_twice(*arguments: Any) -> Any:
        calls.append(1)

        if len(calls) < 3:
            raise OperationalError(1213, "Deadlock found") from Exception

        return real(*arguments)

    monkeypatch.setattr(operations, "_run", collide_twice)

    response = ask(client, "POST", [{"number": "A", "year": 1}])

    assert response.status_code == 201
    assert len(calls) == 3
    assert years() == {"A": 1}


def test_a_minimal_answer_asks_for_no_keys_unless_somebody_hears_of_them(
    client: Client,
) -> None:
    heard: list[Any] = []

    def hear(created: list[int], **_: Any) -> None:
        heard.append(created)

    with CaptureQueriesContext(connection) as silent:
        ask(client, "POST", [{"number": "A", "year": 1}], Prefer="return=minimal")

    bulk_written.connect(hear, sender=Contract)

    try:
        with CaptureQueriesContext(connection) as told:
            ask(
                client,
                "POST",
                [{"number": "B", "year": 1}],
                Prefer="return=minimal",
            )
    finally:
        bulk_written.disconnect(hear, sender=Contract)

    def inserts(context: CaptureQueriesContext) -> list[str]:
        return [q["sql"] for q in context if q["sql"].startswith("INSERT")]

    assert Contract.objects.count() == 2
    if connection.vendor != "mysql":
        # Whose writer is Django's own, and asks wherever it can.
        assert ["RETURNING" in sql for sql in inserts(silent)] == [False]

    assert ["RETURNING" in sql for sql in inserts(told)] == [True]
