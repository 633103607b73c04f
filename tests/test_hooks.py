"""What a view and its serializer do of their own is done for each of many rows."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from django.db.models.signals import post_save
from django.test import Client
from django.urls import include, path
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin
from django_partstream.models import Job
from django_partstream.signals import bulk_written
from tests.app.models import Contract, Tag
from tests.bulk.test_side_effects import receiving
from tests.test_upserts import run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SEEN: list[Any] = []


class NotingSerializer(serializers.ModelSerializer[Contract]):
    """Notes what it knows of where it is used."""

    class Meta:
        model = Contract
        fields = ["id", "number", "year"]

    def validate(self, attrs: Any) -> Any:
        request, view = self.context["request"], self.context["view"]
        stored = None if self.instance is None else self.instance.number
        SEEN.append((sorted(self.context), request.method, view.action, stored))

        return attrs


class NotingViewSet(BulkOperationsMixin, ModelViewSet[Contract]):
    queryset = Contract.objects.order_by("number")
    serializer_class = NotingSerializer


class HookedViewSet(NotingViewSet):
    """Writes more than the row, and changes its mind about some."""

    def perform_create(self, serializer: Any) -> None:
        Tag.objects.create(name=f"for {serializer.validated_data['number']}")
        serializer.save(amount=41)

        if serializer.instance.number == "bad":
            raise ValidationError({"number": ["Not this one."]}, code="unwanted")

    def perform_update(self, serializer: Any) -> None:
        serializer.save(amount=42)

    def perform_destroy(self, instance: Contract) -> None:
        Tag.objects.create(name=f"was {instance.number}")
        instance.delete()


@pytest.fixture(autouse=True)
def addresses(settings: Any) -> None:
    router = SimpleRouter()
    router.register("noting", NotingViewSet, basename="noting")
    router.register("hooked", HookedViewSet, basename="hooked")
    module: Any = ModuleType("urls_of_hooks")
    module.urlpatterns = [
        path("", include(router.urls)),
        path("", include("django_partstream.urls")),
    ]
    settings.ROOT_URLCONF = module
    SEEN.clear()


def ask(method: str, address: str, rows: Any, prefer: str = "") -> Any:
    return Client().generic(
        method,
        address,
        json.dumps(rows),
        content_type="application/json",
        headers={"Prefer": prefer} if prefer else {},
    )


@pytest.mark.parametrize("address", ["/noting/", "/hooked/"])
def test_the_serializers_context_is_complete(address: str) -> None:
    pk = Contract.objects.create(number="old", year=1).pk
    context = ["format", "request", "view"]

    ask("POST", address, [{"number": "new", "year": 1}])
    ask("PATCH", address, [{"id": pk, "year": 2}])
    ask("PUT", address, [{"id": pk, "number": "old", "year": 3}])

    assert [
        (context, "POST", "create", None),
        (context, "PATCH", "partial_update", "old"),
        (context, "PUT", "update", "old"),
    ] == SEEN


@pytest.mark.parametrize("address", ["/noting/", "/hooked/"])
def test_in_a_job_it_is_the_same(address: str) -> None:
    said = ask("POST", address, [{"number": "new", "year": 1}], "respond-async").json()
    SEEN.clear()

    run(Job.objects.get(pk=said["task_id"]))

    assert SEEN == [(["format", "request", "view"], "POST", "create", None)]
    assert Contract.objects.get().number == "new"


def test_a_refused_row_takes_all_that_its_hook_did_with_it() -> None:
    rows = [{"number": number, "year": 1} for number in ("a", "bad", "c")]

    response = ask("POST", "/hooked/", rows, "handling=lenient")

    assert response["Bulk-Mode"] == (
        'rows; reason="HookedViewSet.perform_create() is overridden"'
    )
    results = response.json()["results"]
    assert [result["outcome"] for result in results] == ["created", "failed", "created"]
    assert results[1]["errors"] == [
        {"pointer": "/number", "code": "unwanted", "detail": "Not this one."}
    ]
    assert {*Tag.objects.values_list("name", flat=True)} == {"for a", "for c"}
    assert [*Contract.objects.values_list("amount", flat=True)] == [41, 41]


def test_hooks_of_each_verb_are_called() -> None:
    pk = Contract.objects.create(number="old", year=1).pk

    ask("PATCH", "/hooked/", [{"id": pk, "year": 2}])
    assert Contract.objects.get().amount == 42

    ask("POST", "/hooked/?unique_fields=number", [{"number": "new", "year": 1}])
    assert Contract.objects.get(number="new").amount == 41

    ask("DELETE", "/hooked/", [pk])
    assert Tag.objects.filter(name="was old").exists()


@pytest.mark.parametrize("address", ["/noting/", "/hooked/"])
def test_who_hears_of_batches_hears_after_the_commit_of_what_stays(
    address: str, django_capture_on_commit_callbacks: Any
) -> None:
    heard: list[Any] = []

    def receiver(**said: Any) -> None:
        heard.append((said["created"], said["updated"], said["deleted"]))

    rows = [{"number": number, "year": 1} for number in ("a", "b")]
    # A good row and one that is refused, so that nothing stays.
    refused = [rows[0], {"number": "x" * 99, "year": 1}]

    with receiving(bulk_written, receiver, Contract):
        for body, prefer in ((rows, "tx=rollback"), (refused, ""), (rows, "")):
            with django_capture_on_commit_callbacks(execute=True):
                ask("POST", address, body, prefer)
                assert heard == []

        pks = [*Contract.objects.order_by("number").values_list("pk", flat=True)]

        with django_capture_on_commit_callbacks(execute=True):
            ask("DELETE", address, pks[:1])

    assert heard == [(pks, [], []), ([], [], pks[:1])]


def test_receivers_hear_of_each_row_unless_they_need_not() -> None:
    heard: list[str] = []

    def on_save(instance: Contract, **_: Any) -> None:
        heard.append(instance.number)

    with receiving(post_save, on_save, Contract):
        rows = [{"number": number, "year": 1} for number in ("a", "b")]
        response = ask("POST", "/noting/", rows)

    assert heard == ["a", "b"]
    assert response["Bulk-Mode"].startswith('rows; reason="')
    assert "on_save receives post_save of Contract" in response["Bulk-Mode"]
