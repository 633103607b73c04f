"""Ours and plain DRF, on the same serializers."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin

from .models import Contract, Transaction
from .payloads import KEYS
from .serializers import ContractSerializer, TransactionSerializer

__all__ = (
    "OurContracts",
    "OurTransactions",
    "PlainContracts",
    "PlainTransactions",
)


class OurTransactions(BulkOperationsMixin, ModelViewSet[Transaction]):
    queryset = Transaction.objects.all()
    serializer_class = TransactionSerializer
    # The larger sizes are answered at once, too.
    sync_max_rows = 1_000_000


class OurContracts(BulkOperationsMixin, ModelViewSet[Contract]):
    queryset = Contract.objects.all()
    serializer_class = ContractSerializer
    sync_max_rows = 1_000_000


class RowByRow(ModelViewSet[Any]):
    """What is written with DRF where many rows come: `many=True` to create them, one
    serializer for each row else, in one transaction."""

    @transaction.atomic
    def create(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        if not isinstance(request.data, list):
            return super().create(request, *args, **kwargs)

        serializer = self.get_serializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        serializer.save()

        return Response(serializer.data, status=201)

    @transaction.atomic
    def upsert(self, request: Any) -> Response:
        return Response([self._stored(row) for row in request.data])

    @transaction.atomic
    def update_many(self, request: Any) -> Response:
        return Response(
            [
                self._saved(self.get_queryset().get(pk=row["id"]), row)
                for row in request.data
            ]
        )

    @transaction.atomic
    def delete_many(self, request: Any) -> Response:
        for pk in request.data:
            self.get_queryset().get(pk=pk).delete()

        return Response({"count": len(request.data)})

    def _stored(self, row: Any) -> Any:
        table = str(self.get_queryset().model._meta.model_name) + "s"
        key = {name: row[name] for name in KEYS[table]}

        return self._saved(self.get_queryset().filter(**key).first(), row)

    def _saved(self, instance: Any, row: Any) -> Any:
        serializer = self.get_serializer(instance, data=row)
        serializer.is_valid(raise_exception=True)
        serializer.save()

        return serializer.data


class PlainTransactions(RowByRow):
    queryset = Transaction.objects.all()
    serializer_class = TransactionSerializer


class PlainContracts(RowByRow):
    queryset = Contract.objects.all()
    serializer_class = ContractSerializer
