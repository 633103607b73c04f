"""Bodies that nobody should send, to models of every kind of column, relation and
constraint: never a 500, and what is written adds up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin
from tests.app.models import Account, Country, Status
from tests.app.serializers import (
    ArticleSerializer,
    FolderSerializer,
    NicknameSerializer,
    ProductSerializer,
    SampleSerializer,
    TransactionSerializer,
)
from tests.forms import count
from tests.test_bulk_fuzz import PREFER, VALUES, is_sound, text_of

SERIALIZERS: dict[str, tuple[Any, list[str]]] = {
    "articles": (ArticleSerializer, ["id"]),
    "folders": (FolderSerializer, ["code"]),
    "nicknames": (NicknameSerializer, ["name"]),
    "products": (ProductSerializer, ["code", "serial", "shelf,slot"]),
    "samples": (SampleSerializer, ["label"]),
    "transactions": (TransactionSerializer, ["account,datetime"]),
}
router = SimpleRouter()

for name, (serializer, _) in SERIALIZERS.items():
    view = type(
        f"{name}ViewSet",
        (BulkOperationsMixin, ModelViewSet),
        {
            "queryset": serializer.Meta.model._default_manager.order_by("pk"),
            "serializer_class": serializer,
        },
    )
    router.register(name, view, basename=name)

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("api/", include(router.urls)),
]
pytestmark = [
    pytest.mark.database,
    pytest.mark.django_db,
    pytest.mark.urls(__name__),
]

#: What many fields take, so that rows come as far as the database.
LIKELY: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(1, 2, "1", 7, 0, -1, 2**31 - 1, 2**31, 1.5, "1.50", "99999999.99", "1e3"),
        *("a", "b", "r", "open", "DE", "x" * 21, "", " a ", "A", "ä", "a\u0301"),
        *("2024-02-29", "2024-01-01T10:00:00Z", "0001-01-01T00:00:00+14:00"),
        *("9999-12-31T23:59:59-14:00", "12:30", "3 days", "1 00:00:01"),
        *("7f1f8a30-7a0f-4f04-9c3e-0d7b3b9b6a52", "::1", "10.0.0.1"),
        *(True, False, None, [], [1], [1, 1], [999], {}, {"a": [1, None]}, [{}]),
    ]
)


@pytest.mark.parametrize("name", SERIALIZERS)
@settings(
    max_examples=count(12, 5_000),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_no_row_of_any_model_is_an_error_of_the_server(
    name: str, data: st.DataObject
) -> None:
    serializer, keys = SERIALIZERS[name]
    Account.objects.get_or_create(pk=1, defaults={"name": "a"})
    Status.objects.get_or_create(code="open")
    Country.objects.get_or_create(iso="DE", defaults={"name": "Germany"})
    fields = [*serializer().fields, "no such field"]
    likely = st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(fields, LIKELY)), max_size=5
    )
    rows = data.draw(
        likely
        | st.lists(
            st.dictionaries(st.sampled_from(fields), VALUES | LIKELY, max_size=6),
            max_size=4,
        )
    )
    method = data.draw(st.sampled_from(["POST", "PATCH", "PUT", "DELETE"]))
    query = data.draw(
        st.sampled_from(["", *(f"?unique_fields={key}" for key in (*keys, "id"))])
    )
    prefer = data.draw(PREFER)

    response = Client().generic(
        method,
        f"/api/{name}/{query}",
        text_of(rows),
        content_type="application/json",
        headers={"Prefer": prefer},
    )

    is_sound(response)

    if response.status_code == 207:
        report = json.loads(response.content)
        counts = [report.get(kind, 0) for kind in ("created", "updated", "unchanged")]
        told = sum(counts) + report.get("deleted", 0) + report["failed"]
        assert told == len(rows)
