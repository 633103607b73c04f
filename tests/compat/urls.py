"""The addresses of the tests of older names, by every router of DRF's kind."""

from __future__ import annotations

from adrf.routers import DefaultRouter as AsyncRouter
from django.urls import include, path
from rest_framework.routers import DefaultRouter, SimpleRouter

from . import views

router = DefaultRouter()
router.register("financial-transactions", views.DocumentedViewSet, basename="ft")
router.register("transactions", views.TransactionViewSet)
router.register("all-transactions", views.AllTransactionsViewSet, basename="all")
router.register("contracts", views.ContractViewSet)
router.register("old-contracts", views.OldContractViewSet, basename="old")
router.register("upserts", views.UpsertsViewSet, basename="upserts")
router.register("creates", views.CreatesViewSet, basename="creates")
router.register("pieces", views.PiecesViewSet, basename="pieces")
router.register("guarded", views.GuardedViewSet, basename="guarded")
router.register("own-bulk", views.OwnBulkViewSet, basename="own-bulk")
router.register("drf-async", views.AsyncContractViewSet, basename="drf-async")
router.register("secrets", views.SecretsViewSet, basename="secrets")
router.register("masked", views.MaskedViewSet, basename="masked")
router.register("accounts", views.AccountViewSet, basename="accounts")
router.register(
    "filterset-contracts", views.FiltersetViewSet, basename="filterset-contracts"
)
router.register("no-jobs", views.NoJobsViewSet, basename="no-jobs")
router.register("read-only", views.ReadOnlyViewSet, basename="read-only")
router.register("creating", views.CreatingViewSet, basename="creating")
router.register("posting", views.PostingViewSet, basename="posting")
router.register("samples", views.SampleViewSet, basename="samples")

simple = SimpleRouter(use_regex_path=False)
simple.register("simple-contracts", views.ContractViewSet, basename="simple")

async_router = AsyncRouter()
async_router.register("async-contracts", views.AsyncContractViewSet, basename="async")
async_router.register("async-reads", views.AsyncReadsViewSet, basename="async-reads")

nested = SimpleRouter()
nested.register("contracts", views.AccountContractsViewSet, basename="nested")

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("api/", include(router.urls)),
    path("api/", include(simple.urls)),
    path("api/", include(async_router.urls)),
    path("api/accounts/<int:account_pk>/", include(nested.urls)),
]
