"""The package that BENCH_PEER names, as its own documents set it up; where its router
leaves all but one method unreachable, by hand."""

from __future__ import annotations

import os
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.viewsets import ModelViewSet

from .payloads import KEYS
from .serializers import MODELS, SERIALIZERS

__all__ = ("urlpatterns",)


def _bulk_drf_2(table: str) -> list[Any]:
    """POST creates, PATCH upserts, PUT updates, by the `unique_fields` of the view."""
    import django_bulk_drf as package

    stock: Any = SERIALIZERS[table].Meta
    base: Any = package.BulkModelSerializer

    class Serializer(base):
        class Meta:
            model = MODELS[table]
            fields = stock.fields

    class WithKey(Serializer):
        id = serializers.IntegerField()

        class Meta(Serializer.Meta):
            pass

    class ByFields(package.BulkModelViewSet):
        queryset = MODELS[table].objects.all()
        serializer_class = Serializer
        unique_fields = [*KEYS[table]]

    class ByKey(ByFields):
        serializer_class = WithKey
        unique_fields = ["id"]

    many = {"post": "create", "patch": "partial_update"}
    keyed = {"put": "update", "delete": "destroy"}

    return [
        path(f"peer/{table}/", ByFields.as_view(many)),
        path(f"peer/{table}/by-key/", ByKey.as_view(keyed)),
    ]


def _set_up_tasks() -> None:
    import celery

    application = celery.Celery("benchmarks")
    application.config_from_object("django.conf:settings", namespace="CELERY")
    application.set_default()


def _bulk_drf_1(table: str) -> list[Any]:
    _set_up_tasks()
    from django_bulk_drf.bulk_mixins import BulkOperationsMixin

    class View(BulkOperationsMixin, ModelViewSet[Any]):
        queryset = MODELS[table].objects.all()
        serializer_class = SERIALIZERS[table]

    many = {"post": "bulk_create", "patch": "bulk_update", "delete": "bulk_delete"}

    return [path(f"peer/{table}/bulk/", View.as_view(many))]


def _drf_extensions(table: str) -> list[Any]:
    _set_up_tasks()
    from django_drf_extensions.mixins import OperationsMixin

    class View(OperationsMixin, ModelViewSet[Any]):
        queryset = MODELS[table].objects.all()
        serializer_class = SERIALIZERS[table]

    many = {"post": "bulk_create", "patch": "bulk_update", "delete": "bulk_delete"}

    return [
        path(f"peer/{table}/", View.as_view({"post": "create"})),
        path(f"peer/{table}/bulk/", View.as_view(many)),
    ]


PEERS = {
    "bulk-drf-0.2.91": _bulk_drf_2,
    "bulk-drf-0.1.4": _bulk_drf_1,
    "drf-extensions-0.1.68": _drf_extensions,
}

urlpatterns = [
    pattern for table in MODELS for pattern in PEERS[os.environ["BENCH_PEER"]](table)
]
