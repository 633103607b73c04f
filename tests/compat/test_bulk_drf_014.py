"""What the readme of django-bulk-drf 0.1.4 shows, in its order."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.test import Client
from rest_framework.viewsets import ModelViewSet

from django_partstream import conf
from django_partstream.cache import OperationCache
from django_partstream.jobs import states
from django_partstream.jobs.submit import submit
from django_partstream.jobs.work import Budget, Step, Tally, register
from django_partstream.mixins import BulkOperationsMixin
from django_partstream.models import Job
from django_partstream.signals import job_progressed
from tests.app.models import Account, Status, Transaction

from .asking import ask, run, status_of
from .rows import BASE, TWO, store, stored
from .views import DocumentedSerializer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]

URL = f"{BASE}bulk/"


def test_the_app_is_installed_by_its_name(settings: Any) -> None:
    assert "rest_framework" in settings.INSTALLED_APPS
    assert "django_partstream" in settings.INSTALLED_APPS
    assert [m for m in run_checks(tags=["partstream"]) if m.level >= 30] == []


def test_no_cache_is_needed_whatever_stands_there(
    client: Client, settings: Any
) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    }

    status = status_of(client, ask(client, "POST", URL, TWO))

    assert status["progress"]["percentage"] == 100.0
    assert status["result"]["success_count"] == 2


def test_no_celery_is_needed_whatever_stands_there(
    client: Client, settings: Any
) -> None:
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
    settings.CELERY_RESULT_BACKEND = "redis://127.0.0.1:6379/0"
    settings.CELERY_TASK_TIME_LIMIT = 5 * 60
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 60
    settings.CELERY_WORKER_SEND_TASK_EVENTS = True
    settings.CELERY_TASK_SEND_SENT_EVENT = True

    assert conf.current().queue == "embedded"
    assert status_of(client, ask(client, "POST", URL, TWO))["state"] == "SUCCESS"


def test_a_viewset_becomes_one_by_a_mixin() -> None:
    class FinancialTransactionViewSet(BulkOperationsMixin, ModelViewSet[Any]):
        queryset = Transaction.objects.all()
        serializer_class = DocumentedSerializer

    actions = {
        action.url_path: action
        for action in FinancialTransactionViewSet.get_extra_actions()
    }
    assert {*actions["bulk"].mapping} == {"get", "post", "patch", "put", "delete"}


def test_a_few_ids_are_answered_at_once(client: Client) -> None:
    store(5)

    response = client.get(f"{URL}?ids=1,2,3,4,5")

    assert response.status_code == 200
    assert response.json()["count"] == 5
    assert response.json()["is_async"] is False
    assert [row["id"] for row in response.json()["results"]] == [1, 2, 3, 4, 5]


def test_many_ids_are_a_task(client: Client) -> None:
    ids = ",".join(map(str, range(1, 151)))

    body = client.get(f"{URL}?ids={ids}").json()

    assert body["message"] == "Get task started for 150 items"
    assert body["total_items"] == 150
    assert body["is_async"] is True
    assert body["status_url"] == f"/api/operations/{body['task_id']}/status/"


def test_filters_come_in_the_body_of_a_get(client: Client) -> None:
    store(3)
    Transaction.objects.filter(pk=2).update(amount=200)
    asked = {
        "filters": {
            "amount": {"gte": 100, "lte": 1000},
            "datetime": {"gte": "2025-01-01"},
            "financial_account": 1,
        }
    }

    response = ask(client, "GET", URL, asked)

    assert [row["id"] for row in response.json()["results"]] == [2]


def test_texts_are_found_whatever_their_case(client: Client) -> None:
    store(2)
    Transaction.objects.filter(pk=2).update(description="a PAYMENT")
    asked = {
        "filters": {
            "amount": {"gte": 0, "lte": 1000},
            "datetime": {"gte": "2025-01-01"},
            "financial_account": 1,
            "description": {"icontains": "payment"},
        }
    }

    response = ask(client, "GET", URL, asked)

    assert [row["id"] for row in response.json()["results"]] == [2]


def test_many_are_created_by_a_task(client: Client) -> None:
    response = ask(client, "POST", URL, TWO)

    body = response.json()
    assert response.status_code == 202
    assert body["message"] == "Create task started for 2 items"
    assert body["total_items"] == 2
    assert body["status_url"] == f"/api/operations/{body['task_id']}/status/"
    status_of(client, response)
    assert [(amount, text) for _, amount, text in stored()] == [
        ("100.50", "Transaction 1"),
        ("-25.75", "Transaction 2"),
    ]


def test_rows_are_updated_by_what_they_say(client: Client) -> None:
    store(2)
    rows = [
        {"id": 1, "amount": "150.00", "description": "Updated transaction 1"},
        {"id": 2, "description": "Updated transaction 2"},
    ]

    result = status_of(client, ask(client, "PATCH", URL, rows))["result"]

    assert result["updated_ids"] == [1, 2]
    assert stored() == [
        (1, "150.00", "Updated transaction 1"),
        (2, "2.00", "Updated transaction 2"),
    ]


def test_rows_are_replaced_whole(client: Client) -> None:
    store(2)
    rows = [
        {
            "id": number,
            "amount": amount,
            "description": f"Completely replaced transaction {number}",
            "datetime": f"2025-01-01T1{4 + number}:00:00Z",
            "financial_account": 1,
            "classification_status": state,
        }
        for number, amount, state in ((1, "200.00", 2), (2, "75.50", 1))
    ]

    result = status_of(client, ask(client, "PUT", URL, rows))["result"]
    refused = status_of(client, ask(client, "PUT", URL, [{"id": 1, "amount": "1"}]))

    assert result["updated_ids"] == [1, 2]
    assert stored() == [
        (1, "200.00", "Completely replaced transaction 1"),
        (2, "75.50", "Completely replaced transaction 2"),
    ]
    assert Transaction.objects.get(pk=1).status_id == 2
    assert refused["result"]["error_count"] == 1


def test_rows_are_deleted_by_their_ids(client: Client) -> None:
    store(6)

    result = status_of(client, ask(client, "DELETE", URL, [1, 2, 3, 4, 5]))["result"]

    assert result["deleted_ids"] == [1, 2, 3, 4, 5]
    assert [pk for pk, _, _ in stored()] == [6]


def test_the_status_has_every_documented_member(client: Client) -> None:
    response = ask(client, "POST", URL, TWO)
    run(response)
    task_id = response.json()["task_id"]

    status = client.get(f"/api/bulk-operations/{task_id}/status/").json()

    first, second = (pk for pk, _, _ in stored())
    assert status["task_id"] == task_id
    assert status["state"] == "SUCCESS"
    result = {
        "task_id": task_id,
        "total_items": 2,
        "operation_type": "async_create",
        "success_count": 2,
        "error_count": 0,
        "errors": [],
        "created_ids": [first, second],
        "updated_ids": [],
        "deleted_ids": [],
    }
    assert {key: status["result"][key] for key in result} == result
    progress = {"current": 2, "total": 2, "percentage": 100.0}
    assert {key: status["progress"][key] for key in progress} == progress
    assert status["progress"]["message"] == status["message"]
    assert status["status"] == "completed"


def test_progress_is_told_while_it_runs(client: Client) -> None:
    job = submit(kind="async_create", owner=None, spec={}, total=100)
    Job.objects.filter(pk=job.pk).update(state="PROGRESS", current=50)

    status = client.get(f"/api/bulk-operations/{job.pk}/status/").json()

    assert (status["state"], status["status"]) == ("PROGRESS", "running")
    assert status["progress"]["current"] == 50
    assert status["progress"]["total"] == 100
    assert status["progress"]["percentage"] == 50.0
    assert status["progress"]["message"] == "The job is running."


def test_an_error_has_its_index_its_text_and_its_data(client: Client) -> None:
    rows = [*(dict(TWO[0], datetime=f"2025-01-0{n}T00:00:00Z") for n in range(1, 6))]

    status = status_of(
        client, ask(client, "POST", URL, [*rows, {"description": "Missing amount"}])
    )

    (error,) = status["result"]["errors"]
    assert error["index"] == 5
    assert error["data"] == {"description": "Missing amount"}
    assert error["error"].startswith("amount: This field is required.")
    assert error["errors"][0] == {
        "pointer": "/amount",
        "code": "required",
        "detail": "This field is required.",
    }
    assert len(stored()) == 5


def test_progress_of_your_own_is_a_receiver_of_a_signal(client: Client) -> None:
    seen: list[tuple[str, float]] = []

    def keep(sender: Any, job: Job, snapshot: Any, **kwargs: Any) -> None:
        seen.append((snapshot["state"], snapshot["progress"]["percentage"]))

    job_progressed.connect(keep, sender=Job)

    try:
        run(ask(client, "POST", URL, TWO))
    finally:
        job_progressed.disconnect(keep, sender=Job)

    assert seen[0] == ("PROGRESS", 0.0)
    assert seen[-1] == ("SUCCESS", 100.0)


def test_a_receiver_that_raises_harms_no_job(client: Client) -> None:
    def fail(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("metrics are down")

    job_progressed.connect(fail, sender=Job)

    try:
        assert run(ask(client, "POST", URL, TWO)).state == "SUCCESS"
    finally:
        job_progressed.disconnect(fail, sender=Job)


def test_the_class_for_progress_may_still_be_extended(client: Client) -> None:
    metrics: dict[str, Any] = {}

    class CustomBulkCache(OperationCache):
        @classmethod
        def set_custom_metric(cls, task_id: str, metric_data: dict[str, Any]) -> None:
            metrics[task_id] = {**metric_data, **(cls.get_task_progress(task_id) or {})}

    response = ask(client, "POST", URL, TWO)
    run(response)
    task_id = response.json()["task_id"]
    CustomBulkCache.set_custom_metric(task_id, {"source": "nightly"})

    assert metrics[task_id]["source"] == "nightly"
    assert metrics[task_id]["current"] == 2


class RenameAccounts:
    """Work of a project's own: an account a step."""

    def __init__(self, job: Job) -> None:
        self.using = states.jobs().db
        self.suffix = job.spec["suffix"]

    def step(self, cursor: Any, budget: Budget) -> Step:
        account = Account.objects.filter(pk__gt=cursor.get("last", 0)).first()

        if account is None:
            return Step(cursor=cursor, done=True)

        account.name += self.suffix
        account.save()

        return Step(
            cursor={"last": account.pk},
            done=False,
            tally=Tally(updated=1),
            updated_ids=(account.pk,),
        )


def test_an_operation_of_your_own_is_work(client: Client) -> None:
    register("rename_accounts", RenameAccounts)
    job = submit(kind="rename_accounts", owner=None, spec={"suffix": "!"}, total=2)

    class Answer:
        status_code = 202

        @staticmethod
        def json() -> Any:
            return {"task_id": str(job.pk)}

    run(Answer)

    assert [*Account.objects.order_by("pk").values_list("name", flat=True)] == [
        "account 1!",
        "account 2!",
    ]
    status = client.get(f"/api/operations/{job.pk}/status/").json()
    assert status["state"] == "SUCCESS"
    assert status["result"]["operation_type"] == "rename_accounts"
    assert status["result"]["updated_ids"] == [1, 2]
    assert Status.objects.count() == 2
