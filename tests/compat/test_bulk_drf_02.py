"""What the readme of django-bulk-drf 0.2 shows, in its order."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ModelViewSet

from django_partstream import conf
from django_partstream.mixins import (
    BulkModelViewSet,
    BulkOperationsMixin,
    SyncUpsertMixin,
)
from django_partstream.serializers import BulkModelSerializer
from tests.app.models import Account, Contract
from tests.app.serializers import ContractSerializer

from .asking import ask, contracts, run, years
from .rows import TWO, store, stored

pytestmark = pytest.mark.django_db

URL = "/api/contracts/"


class ContractViewSet(BulkOperationsMixin, ModelViewSet[Any]):
    """As the readme writes it."""

    queryset = Contract.objects.all()
    serializer_class = ContractSerializer


def test_one_mixin_makes_it_all() -> None:
    router = DefaultRouter()
    router.register("contracts", ContractViewSet)
    urls = {str(url.pattern): url for url in router.urls}

    collection: Any = urls["^contracts/$"].callback
    one: Any = urls["^contracts/(?P<pk>[^/.]+)/$"].callback

    assert {*collection.actions} >= {"get", "post", "patch", "put", "delete"}
    assert {*one.actions} >= {"get", "patch", "put", "delete"}


def test_the_standard_addresses_do_more(client: Client) -> None:
    (stored,) = contracts(1)

    assert client.get(URL).json()[0]["number"] == "C000"
    assert client.get(f"{URL}{stored.pk}/").json()["year"] == 2000
    assert ask(client, "PATCH", f"{URL}{stored.pk}/", {"year": 1}).status_code == 200
    patched = ask(client, "PATCH", URL, [{"id": stored.pk, "year": 2}])
    whole = {"id": stored.pk, "number": "C000", "year": 3}
    put = ask(client, "PUT", URL, [whole])
    keyed = ask(
        client,
        "PATCH",
        f"{URL}?unique_fields=number",
        [{"number": "C000", "year": 4}],
    )
    posted = ask(client, "POST", URL, {"number": "N", "year": 5})
    deleted = client.delete(f"{URL}{stored.pk}/")

    assert [r.status_code for r in (patched, put, keyed, posted, deleted)] == [
        200,
        200,
        200,
        201,
        204,
    ]
    assert years() == {"N": 5}


def test_many_are_got_by_their_ids(client: Client) -> None:
    rows = contracts(5)
    ids = ",".join(str(row.pk) for row in rows)

    body = client.get(f"{URL}?ids={ids}").json()

    assert body["count"] == 5
    assert [row["number"] for row in body["results"]] == [r.number for r in rows]
    assert body["operation_type"] == "multi_get"


def test_many_are_upserted_by_two_fields(client: Client, ledger: Any) -> None:
    store(1)
    url = "/api/all-transactions/?unique_fields=financial_account,datetime"
    rows = [
        dict(TWO[1], datetime="2025-03-01T00:00:00Z", amount="2000.00"),
        dict(TWO[0], amount="1000.00"),
    ]

    full = ask(client, "POST", url, rows)

    assert full.status_code == 200
    assert [row["amount"] for row in full.json()] == ["2000.00", "1000.00"]
    assert [row["id"] for row in full.json()] == [stored()[1][0], 1]
    assert stored()[0] == (1, "1000.00", "Transaction 1")


def test_a_large_upsert_may_be_answered_with_a_count(client: Client) -> None:
    rows = [{"number": f"N{n}", "year": 1} for n in range(10_000)]

    response = ask(
        client, "POST", f"{URL}?unique_fields=number", rows, Prefer="return=minimal"
    )

    assert response.status_code == 200
    assert response["Preference-Applied"] == "return=minimal"
    assert response.json() == {
        "message": "Successfully upserted 10000 instances",
        "count": 10000,
        "serialization_skipped": True,
    }
    assert Contract.objects.count() == 10_000


def test_contracts_are_upserted_and_created(client: Client) -> None:
    rows: list[Any] = [
        {"number": "C001", "year": 1, "amount": "1000.00"},
        {"number": "C002", "year": 1, "amount": "2000.00"},
    ]
    more = [{"number": f"M{n}", "year": 1} for n in range(500)]

    upserted = ask(client, "POST", f"{URL}?unique_fields=number", rows)
    created = ask(client, "POST", URL, more)

    assert len(upserted.json()) == 2
    assert created.status_code == 201
    assert len(created.json()) == 500


def test_the_old_mixins_and_the_new_class_both_stand() -> None:
    class Old(SyncUpsertMixin, BulkOperationsMixin, ModelViewSet[Any]):
        queryset = Contract.objects.all()
        serializer_class = ContractSerializer

    class New(BulkModelViewSet, ModelViewSet[Any]):
        queryset = Contract.objects.all()
        serializer_class = ContractSerializer

    paths = [{a.url_path for a in cls.get_extra_actions()} for cls in (Old, New)]

    assert paths[0] == paths[1]
    assert paths[0] >= {"operations", "bulk", "upsert"}


def test_a_serializers_queryset_feeds_the_answer(
    client: Client, monkeypatch: Any
) -> None:
    class NamedSerializer(BulkModelSerializer):
        account_name = serializers.CharField(source="account.name", read_only=True)

        class Meta:
            model = Contract
            fields = ["id", "number", "year", "account", "account_name"]

        def get_queryset(self) -> Any:
            return Contract.objects.select_related("account")

    from . import views

    monkeypatch.setattr(views.ContractViewSet, "serializer_class", NamedSerializer)
    account = Account.objects.create(name="A")

    def queries(count: int) -> int:
        rows = [
            {"number": f"{count}-{n}", "year": 1, "account": account.pk}
            for n in range(count)
        ]

        with CaptureQueriesContext(connection) as context:
            response = ask(client, "POST", URL, rows)

        assert [row["account_name"] for row in response.json()] == ["A"] * count

        return len(context)

    assert queries(3) == queries(30)


def test_a_serializers_queryset_hides_none_of_what_was_written(
    client: Client, monkeypatch: Any
) -> None:
    class EmptySerializer(BulkModelSerializer):
        class Meta:
            model = Contract
            fields = ["id", "number", "year"]

        def get_queryset(self) -> Any:
            return Contract.objects.none()

    from . import views

    monkeypatch.setattr(views.ContractViewSet, "serializer_class", EmptySerializer)

    response = ask(client, "POST", URL, [{"number": "A", "year": 1}])

    assert [row["number"] for row in response.json()] == ["A"]


def test_a_serializer_without_a_queryset_of_its_own_has_its_models() -> None:
    class PlainSerializer(BulkModelSerializer):
        class Meta:
            model = Contract
            fields = ["id"]

    contracts(2)

    assert PlainSerializer().get_queryset().count() == 2


@pytest.mark.parametrize("size", [2000, 500])
def test_batches_have_the_size_that_was_set(
    client: Client, settings: Any, size: int
) -> None:
    settings.BULK_DRF_BATCH_SIZE = size

    assert conf.current().batch_size == size

    response = ask(
        client,
        "POST",
        f"{URL}operations/",
        [{"number": f"N{n}", "year": 1} for n in range(600)],
    )
    assert run(response).created == 600
