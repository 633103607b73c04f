"""Viewsets as the older documents write them, each with other mixins."""

from __future__ import annotations

from typing import Any

import django_filters
from adrf.viewsets import GenericViewSet as AsyncGenericViewSet
from adrf.viewsets import ModelViewSet as AsyncModelViewSet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import CreateModelMixin
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.response import Response
from rest_framework.viewsets import (
    GenericViewSet,
    ModelViewSet,
    ReadOnlyModelViewSet,
)

from django_partstream.mixins import (
    AsyncCreateMixin,
    AsyncDeleteMixin,
    AsyncGetMixin,
    AsyncOperationsMixin,
    AsyncReplaceMixin,
    AsyncUpdateMixin,
    BulkModelViewSet,
    BulkOperationsMixin,
    SyncUpsertMixin,
)
from tests.app.models import Account, Contract, Sample, Status, Transaction
from tests.app.serializers import (
    AsyncContractSerializer,
    ContractSerializer,
    SampleSerializer,
)


class TransactionSerializer(serializers.ModelSerializer[Transaction]):
    class Meta:
        model = Transaction
        fields = ["id", "account", "status", "datetime", "amount", "description"]


class DocumentedSerializer(serializers.ModelSerializer[Transaction]):
    """With the names that the documents' rows have."""

    financial_account = serializers.PrimaryKeyRelatedField(
        source="account", queryset=Account.objects.all()
    )
    classification_status = serializers.PrimaryKeyRelatedField(
        source="status", queryset=Status.objects.all()
    )

    class Meta:
        model = Transaction
        fields = [
            "id",
            "amount",
            "description",
            "datetime",
            "financial_account",
            "classification_status",
        ]


class DocumentedViewSet(SyncUpsertMixin, AsyncOperationsMixin, ModelViewSet[Any]):
    """The documents' own."""

    queryset = Transaction.objects.order_by("id")
    serializer_class = DocumentedSerializer
    csv_max_file_size = 10 * 1024 * 1024


class TransactionViewSet(SyncUpsertMixin, AsyncOperationsMixin, ModelViewSet[Any]):
    """The recommended one of `django-drf-extensions`."""

    queryset = Transaction.objects.order_by("id")
    serializer_class = TransactionSerializer


class ContractViewSet(BulkModelViewSet, ModelViewSet[Any]):
    """The recommended one of `django-bulk-drf` 0.2."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class OldContractViewSet(SyncUpsertMixin, BulkOperationsMixin, ModelViewSet[Any]):
    """The one that it replaced."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class UpsertsViewSet(SyncUpsertMixin, ModelViewSet[Any]):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class CreatesViewSet(AsyncCreateMixin, GenericViewSet[Any]):
    """Has no `create` of its own."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class PiecesViewSet(
    AsyncUpdateMixin, AsyncReplaceMixin, AsyncDeleteMixin, ModelViewSet[Any]
):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class AsyncContractViewSet(SyncUpsertMixin, AsyncOperationsMixin, AsyncModelViewSet):  # type: ignore[misc]
    """On adrf."""

    queryset = Contract.objects.order_by("number")
    serializer_class = AsyncContractSerializer


class AsyncReadsViewSet(AsyncGetMixin, AsyncGenericViewSet):  # type: ignore[misc]
    """On adrf, and with no action of its own."""

    queryset = Contract.objects.order_by("number")
    serializer_class = AsyncContractSerializer


class AccountContractsViewSet(BulkModelViewSet):
    """Below another collection's object."""

    serializer_class = ContractSerializer

    def get_queryset(self) -> Any:
        return Contract.objects.filter(account=self.kwargs["account_pk"]).order_by("pk")


class GuardedViewSet(BulkModelViewSet):
    """Asks who may do what by the names of DRF's actions."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer

    def get_permissions(self) -> Any:
        if self.action in ("create", "update", "partial_update", "destroy"):
            return [IsAdminUser()]

        return [IsAuthenticated()]


class OwnBulkViewSet(BulkModelViewSet):
    """Has a use of its own for one of our addresses."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer

    @action(detail=False, methods=["get"], url_path="bulk")
    def mine(self, request: Any) -> Response:
        return Response("mine")


class YearField(serializers.IntegerField):
    """Shows the decade."""

    def to_representation(self, value: Any) -> Any:
        return value - value % 10


class SecretsSerializer(serializers.ModelSerializer[Contract]):
    number = serializers.CharField(write_only=True)
    year = YearField()
    shown = serializers.SerializerMethodField()

    class Meta:
        model = Contract
        fields = ["id", "number", "year", "account", "shown"]

    def get_shown(self, contract: Contract) -> str:
        return contract.number[-1:]


class SecretsViewSet(AsyncGetMixin, GenericViewSet[Any]):
    queryset = Contract.objects.order_by("number")
    serializer_class = SecretsSerializer


class MaskedSerializer(ContractSerializer):
    def to_representation(self, instance: Contract) -> Any:
        return {**super().to_representation(instance), "number": "***"}


class MaskedViewSet(AsyncGetMixin, GenericViewSet[Any]):
    queryset = Contract.objects.order_by("number")
    serializer_class = MaskedSerializer
    bulk_filter_fields = ("account__name", "amount")


class AccountSerializer(serializers.ModelSerializer[Account]):
    class Meta:
        model = Account
        fields = ["id", "name"]


class AccountViewSet(BulkModelViewSet):
    queryset = Account.objects.order_by("id")
    serializer_class = AccountSerializer
    bulk_filter_fields = ("transaction__amount",)


class ContractFilterSet(django_filters.FilterSet):  # type: ignore[misc]
    since = django_filters.NumberFilter(field_name="year", lookup_expr="gte")

    class Meta:
        model = Contract
        fields = {"year": ["gte"], "number": ["in"]}


class FiltersetViewSet(BulkModelViewSet):
    """With filters of its own."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer
    filter_backends = [DjangoFilterBackend]
    filterset_class = ContractFilterSet


class NoJobsViewSet(BulkModelViewSet):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer
    jobs = False


class AllTransactionsViewSet(BulkModelViewSet):
    queryset = Transaction.objects.order_by("id")
    serializer_class = DocumentedSerializer


class ReadOnlyViewSet(BulkOperationsMixin, ReadOnlyModelViewSet[Any]):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class CreatingViewSet(BulkOperationsMixin, CreateModelMixin, GenericViewSet[Any]):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class PostingViewSet(BulkModelViewSet):
    """Says so in another way."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer
    http_method_names = ["get", "post", "head", "options"]


class SampleViewSet(BulkModelViewSet):
    """Columns of many kinds."""

    queryset = Sample.objects.order_by("pk")
    serializer_class = SampleSerializer
    bulk_filter_fields = ("country__name", "country__iso")
