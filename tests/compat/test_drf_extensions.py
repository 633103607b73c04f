"""What the readme of django-drf-extensions shows, in its order."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.test import Client
from rest_framework.viewsets import ModelViewSet

from django_partstream.cache import OperationCache
from django_partstream.mixins import AsyncOperationsMixin, SyncUpsertMixin
from django_partstream.models import Job
from tests.app.models import Transaction

from .asking import ask, run, status_of, years
from .rows import BASE, CREATE_CSV, TWO, store, stored, upload
from .views import DocumentedSerializer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]

URL = f"{BASE}operations/"
UPSERT = f"{BASE}upsert/?unique_fields=financial_account,datetime"


def keyed(hour: int, amount: str) -> dict[str, Any]:
    return {
        "financial_account": 1,
        "datetime": f"2025-01-01T{hour}:00:00Z",
        "amount": amount,
    }


def test_one_item_is_upserted_at_once(client: Client) -> None:
    store(1)

    response = ask(client, "POST", UPSERT, keyed(10, "100.50"))

    assert response.status_code == 200
    assert response.json()["updated_ids"] == [1]
    assert stored() == [(1, "100.50", "Transaction 1")]


def test_several_items_are_upserted_with_counts_and_ids(client: Client) -> None:
    store(1)
    new = dict(keyed(11, "200.75"), classification_status=1)
    url = f"{UPSERT}&update_fields=amount,description"

    response = ask(client, "POST", url, [keyed(10, "100.50"), new])

    created = Transaction.objects.get(amount="200.75").pk
    assert {
        key: value
        for key, value in response.json().items()
        if not key.startswith("unchanged")
    } == {
        "message": "Upsert completed successfully",
        "total_items": 2,
        "created_count": 1,
        "updated_count": 1,
        "error_count": 0,
        "created_ids": [created],
        "updated_ids": [1],
        "errors": [],
        "unique_fields": ["financial_account", "datetime"],
        "update_fields": ["amount", "description"],
        "is_sync": True,
    }


def paths_of(*mixins: type) -> set[str]:
    cls: Any = type(
        "ProductViewSet",
        (*mixins, ModelViewSet),
        {
            "queryset": Transaction.objects.all(),
            "serializer_class": DocumentedSerializer,
        },
    )

    return {action.url_path for action in cls.get_extra_actions()}


def test_the_mixins_go_together_and_alone() -> None:
    jobs = {"operations", "operations/query", "bulk", "bulk/query"}

    assert paths_of(SyncUpsertMixin, AsyncOperationsMixin) == {*jobs, "upsert"}
    assert paths_of(AsyncOperationsMixin, SyncUpsertMixin) == {*jobs, "upsert"}
    assert paths_of(AsyncOperationsMixin) == jobs
    assert paths_of(SyncUpsertMixin) == {"upsert"}


def test_every_address_of_the_list_answers(client: Client) -> None:
    store(1)
    one = dict(TWO[0], datetime="2025-02-01T00:00:00Z")
    asked: list[tuple[str, str, Any, int]] = [
        ("GET", BASE, None, 200),
        ("POST", BASE, one, 201),
        ("GET", f"{BASE}1/", None, 200),
        ("PATCH", f"{BASE}1/", {"amount": "5"}, 200),
        ("GET", URL, None, 200),
        ("POST", URL, TWO, 202),
        ("PATCH", URL, [{"id": 1}], 202),
        ("PUT", URL, [{"id": 1}], 202),
        ("DELETE", URL, [1], 202),
        ("POST", UPSERT, [keyed(10, "1")], 200),
        ("PATCH", UPSERT, [keyed(10, "2")], 200),
        ("PUT", UPSERT, [dict(keyed(10, "3"), classification_status=1)], 200),
        ("DELETE", f"{BASE}1/", None, 204),
    ]

    answered = [
        (method, url, ask(client, method, url, body).status_code)
        for method, url, body, _ in asked
    ]
    job = Job.objects.filter(kind="async_create").get()
    status = f"/api/operations/{job.pk}/status/"

    assert answered == [(method, url, code) for method, url, _, code in asked]
    assert client.get(status).status_code == 200
    assert client.delete(status).json()["state"] == "CANCELLED"


def test_many_ids_are_a_task(client: Client) -> None:
    ids = ",".join(map(str, range(1, 151)))

    body = client.get(f"{URL}?ids={ids}").json()

    assert body["total_items"] == 150
    assert body["is_async"] is True


def test_filters_come_in_the_body_of_a_get(client: Client) -> None:
    store(3)
    asked = {
        "filters": {
            "amount": {"gte": 2, "lte": 1000},
            "datetime": {"gte": "2025-01-01"},
            "financial_account": 1,
        }
    }

    assert ask(client, "GET", URL, asked).json()["count"] == 2


def test_many_are_created_by_a_task(client: Client) -> None:
    response = ask(client, "POST", URL, TWO)

    body = response.json()
    assert response.status_code == 202
    assert {key: body[key] for key in ("message", "total_items", "status_url")} == {
        "message": "Create task started for 2 items",
        "total_items": 2,
        "status_url": f"/api/operations/{body['task_id']}/status/",
    }
    run(response)
    assert len(stored()) == 2


def test_rows_are_updated_by_what_they_say(client: Client) -> None:
    store(2)
    rows = [
        {"id": 1, "amount": "150.00"},
        {"id": 2, "description": "Updated description"},
    ]

    status_of(client, ask(client, "PATCH", URL, rows))

    assert stored() == [
        (1, "150.00", "Transaction 1"),
        (2, "2.00", "Updated description"),
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_task_upserts(client: Client, wrapped: bool) -> None:
    store(3)
    new = dict(keyed(13, "400.00"), classification_status=1)
    rows: Any = [keyed(12, "300.00"), new]
    keys = ["financial_account", "datetime"]

    response = (
        ask(client, "PATCH", URL, {"data": rows, "unique_fields": keys})
        if wrapped
        else ask(client, "PATCH", f"{URL}?unique_fields={','.join(keys)}", rows)
    )

    result = status_of(client, response)["result"]
    assert (result["updated_ids"], result["created_count"]) == ([3], 1)
    assert [amount for _, amount, _ in stored()] == ["1.00", "2.00", "300.00", "400.00"]


def test_a_file_is_uploaded_to_the_same_address(client: Client) -> None:
    response = upload(client, "POST", URL, CREATE_CSV)

    assert status_of(client, response)["result"]["success_count"] == 3


def test_the_status_has_every_documented_member(client: Client) -> None:
    response = ask(client, "POST", URL, TWO)

    status = status_of(client, response)

    assert status["task_id"] == response.json()["task_id"]
    assert status["state"] == "SUCCESS"
    assert status["status"] == "completed"
    assert status["message"]
    result = {
        "operation_type": "async_create",
        "total_items": 2,
        "success_count": 2,
        "error_count": 0,
        "created_ids": [pk for pk, _, _ in stored()],
        "errors": [],
    }
    assert {key: status["result"][key] for key in result} == result
    progress = {"current": 2, "total": 2, "percentage": 100}
    assert {key: status["progress"][key] for key in progress} == progress


def test_the_cache_tells_of_a_task(client: Client) -> None:
    response = ask(client, "POST", URL, TWO)
    task_id = response.json()["task_id"]
    before = OperationCache.get_task_progress(task_id)
    run(response)

    progress = OperationCache.get_task_progress(task_id)
    result = OperationCache.get_task_result(task_id)
    summary = OperationCache.get_task_summary(task_id)

    assert before is not None
    assert progress is not None
    assert result is not None
    assert summary is not None
    assert (before["current"], progress["current"]) == (0, 2)
    assert result["success_count"] == 2
    assert summary["progress"] == progress
    assert summary["result"] == result
    assert summary["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(
            ("mixins", name)
            for name in (
                "AsyncOperationsMixin",
                "SyncUpsertMixin",
                "AsyncCreateMixin",
                "AsyncUpdateMixin",
                "AsyncDeleteMixin",
                "AsyncGetMixin",
                "AsyncReplaceMixin",
            )
        ),
        ("views", "OperationStatusView"),
        ("cache", "OperationCache"),
    ],
)
def test_the_names_are_where_they_were(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(f"django_partstream.{module}"), name)


def test_a_small_set_at_once_and_a_large_one_behind(client: Client) -> None:
    row = {"number": "C001", "year": 1, "amount": "1000.00"}
    upserts = "/api/contracts/upsert/?unique_fields=number"

    at_once = ask(client, "POST", upserts, [row])
    later = ask(client, "POST", "/api/contracts/operations/", [dict(row, number="C2")])

    assert at_once.json()["is_sync"] is True
    assert later.json()["is_async"] is True
    run(later)
    assert years() == {"C001": 1, "C2": 1}
