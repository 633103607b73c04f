"""Collections for the tests, each with one trait."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adrf.viewsets import ModelViewSet as AsyncModelViewSet
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.utils.translation import get_language
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import (
    BasePermission,
    DjangoModelPermissions,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from django_partstream.mixins import BulkOperationsMixin

from .models import Account, Article, Contract, Event, Product, Shouted, Tag
from .serializers import (
    AsyncContractSerializer,
    ContractSerializer,
    EventSerializer,
    NestedArticleSerializer,
    ProductSerializer,
    ShoutedSerializer,
)


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


class ScopedContractsViewSet(ContractViewSet):
    """What the credential says of years: a job does not keep it, but what it says."""

    class Years(BaseAuthentication):
        def authenticate(self, request: Any) -> Any:
            years = request.headers.get("Authorization", "").removeprefix("Years ")
            user = get_user_model().objects.filter(username="ann").first()

            return user and (user, {"years": [int(year) for year in years.split(",")]})

    class HasYears(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            return bool(request.auth and request.auth["years"])

    authentication_classes = [Years]
    permission_classes = [HasYears]

    def get_queryset(self) -> Any:
        auth: Any = self.request.auth

        return super().get_queryset().filter(year__in=auth["years"])

    def job_context(self, request: Any) -> dict[str, Any]:
        return {"years": request.auth["years"]}

    def restore_job_context(self, context: Mapping[str, Any]) -> None:
        self.request.auth = {"years": context["years"]}


class ClaimedContractsViewSet(ContractViewSet):
    """Its users are what a token claims."""

    class Claims(BaseAuthentication):
        class User:
            is_authenticated = True
            pk = id = 1

        def authenticate(self, request: Any) -> Any:
            return self.User(), None

    authentication_classes = [Claims]


class ForgetfulContractsViewSet(ScopedContractsViewSet):
    """In a job it would see all years."""

    def restore_job_context(self, context: Mapping[str, Any]) -> None:
        self.request.auth = {"years": [*range(1900, 2100)]}


class ObliviousContractsViewSet(ContractViewSet):
    """Has half of the hooks."""

    def job_context(self, request: Any) -> Any:
        return {"years": [2024]}


class OpaqueContractsViewSet(ContractViewSet):
    """Would keep what no row can hold."""

    def restore_job_context(self, context: Mapping[str, Any]) -> None: ...

    def job_context(self, request: Any) -> Any:
        return {"user": request.user}


class ContextContractsViewSet(ContractViewSet):
    """Its serializer asks the context for all that DRF puts there."""

    class Serializer(ContractSerializer):
        SEEN: list[tuple[Any, ...]] = []

        def validate_number(self, number: str) -> str:
            request, view = self.context["request"], self.context["view"]
            self.SEEN.append(
                (
                    request.user.get_username(),
                    request.method,
                    request.query_params["mark"],
                    request.headers["Accept-Language"],
                    request.build_absolute_uri(),
                    view.action,
                    self.context["format"],
                    get_language(),
                )
            )

            return number

    serializer_class = Serializer


class ModelPermissionContractsViewSet(ContractViewSet):
    permission_classes = [DjangoModelPermissions]


class UnlockedContractsViewSet(ContractViewSet):
    """Rows of 1999 may not be changed."""

    class IsUnlocked(BasePermission):
        def has_object_permission(self, request: Any, view: Any, obj: Any) -> bool:
            return bool(request.method == "PATCH" and obj.year != 1999)

    permission_classes = [IsAuthenticated, IsUnlocked]


class PlainContractsViewSet(ModelViewSet[Contract]):
    """As DRF has it, without us."""

    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class AccountViewSet(ModelViewSet[Account]):
    """What others link to."""

    queryset = Account.objects.all()


class TagViewSet(ModelViewSet[Tag]):
    queryset = Tag.objects.all()
    lookup_field = "name"


class ArticleViewSet(BulkOperationsMixin, ModelViewSet[Article]):
    queryset = Article.objects.order_by("slug")
    serializer_class = NestedArticleSerializer


class ReadOnlyContractsViewSet(BulkOperationsMixin, ReadOnlyModelViewSet[Contract]):
    queryset = Contract.objects.order_by("number")
    serializer_class = ContractSerializer


class AsyncContractsViewSet(BulkOperationsMixin, AsyncModelViewSet):  # type: ignore[misc]
    """adrf's handlers."""

    queryset = Contract.objects.order_by("number")
    serializer_class = AsyncContractSerializer


class AsyncShoutsViewSet(BulkOperationsMixin, AsyncModelViewSet):  # type: ignore[misc]
    """Hooks that are coroutines, and use the database."""

    queryset = Shouted.objects.order_by("name")
    serializer_class = ShoutedSerializer

    async def perform_acreate(self, serializer: Any) -> None:
        count = await Shouted.objects.acount()
        await sync_to_async(serializer.save)(times=count)

    async def perform_adestroy(self, instance: Shouted) -> None:
        if instance.times == 0:
            raise PermissionDenied

        await instance.adelete()


class OnlySyncContractsViewSet(ContractViewSet):
    sync_max_rows = 2
    jobs = False


class OwnActionsViewSet(ContractViewSet):
    """Asks who may do what by the names of DRF's actions."""

    ACTIONS: list[str] = []

    def get_permissions(self) -> Any:
        self.ACTIONS.append(self.action)

        if self.action in self.request.headers.get("X-Denied", "").split(","):
            return [IsAdminUser()]

        return super().get_permissions()


class ProductViewSet(BulkOperationsMixin, ModelViewSet[Product]):
    queryset = Product.objects.order_by("code")
    serializer_class = ProductSerializer


class TenantProductViewSet(ProductViewSet):
    """Each sees and writes what is the tenant's that the user is named after."""

    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> Any:
        tenant = self.request.user.get_username()

        return super().get_queryset().filter(tenant=tenant)


class ProductsByRowsViewSet(ProductViewSet):
    """One row after the other."""

    bulk_side_effects = "rows"


class TenantProductsByRowsViewSet(TenantProductViewSet):
    """The same, one row after the other."""

    bulk_side_effects = "rows"


class EventViewSet(BulkOperationsMixin, ModelViewSet[Event]):
    queryset = Event.objects.order_by("name")
    serializer_class = EventSerializer


class OwnedShoutsViewSet(BulkOperationsMixin, ModelViewSet[Shouted]):
    queryset = Shouted.objects.order_by("name")
    serializer_class = ShoutedSerializer

    def perform_create(self, serializer: Any) -> None:
        serializer.save(times=41)
