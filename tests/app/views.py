"""Collections for the tests, each with one trait."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import (
    BasePermission,
    DjangoModelPermissions,
    IsAuthenticated,
)
from rest_framework.viewsets import ModelViewSet

from django_partstream.mixins import BulkOperationsMixin

from .models import Contract, Event, Shouted
from .serializers import ContractSerializer, EventSerializer, ShoutedSerializer


class ContractViewSet(BulkOperationsMixin, ModelViewSet[Contract]):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer
    csv_null_values = ("NA",)


class FewContractsViewSet(ContractViewSet):
    sync_max_rows = 2


class YearContractsViewSet(ContractViewSet):
    """Its rows depend on the query string, which a job keeps."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(year=self.request.query_params["year"])


class HeaderContractsViewSet(ContractViewSet):
    """Its rows depend on a header, which a job does not keep."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(year=self.request.headers["X-Year"])


class AgentContractsViewSet(ContractViewSet):
    """Without that header it gives more rows."""

    def get_queryset(self) -> Any:
        agent = self.request.headers.get("User-Agent")
        contracts = super().get_queryset()

        return contracts.filter(year=agent) if agent else contracts


class TokenContractsViewSet(ContractViewSet):
    """What it permits depends on the credential, which a job does not keep."""

    class HasKey(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            return bool(request.headers.get("X-Key") == "open")

    permission_classes = [HasKey]


class ModelPermissionContractsViewSet(ContractViewSet):
    permission_classes = [DjangoModelPermissions]


class UnlockedContractsViewSet(ContractViewSet):
    """Rows of 1999 may not be changed."""

    class IsUnlocked(BasePermission):
        def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
            return bool(request.method == "PATCH" and obj.year != 1999)

    permission_classes = [IsAuthenticated, IsUnlocked]


class EventViewSet(BulkOperationsMixin, ModelViewSet[Event]):
    queryset = Event.objects.order_by("name")
    serializer_class = EventSerializer


class OwnedShoutsViewSet(BulkOperationsMixin, ModelViewSet[Shouted]):
    queryset = Shouted.objects.order_by("name")
    serializer_class = ShoutedSerializer

    def perform_create(self, serializer: Any) -> None:
        serializer.save(times=41)
