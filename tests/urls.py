"""The addresses of the tests."""

from __future__ import annotations

from adrf.routers import DefaultRouter as AsyncRouter
from django.urls import include, path
from rest_framework.routers import DefaultRouter

from tests.app import views as app
from tests.parts import views

router = DefaultRouter()
router.register("contracts", app.ContractViewSet, basename="contracts")
router.register("few-contracts", app.FewContractsViewSet, basename="few-contracts")
router.register("year-contracts", app.YearContractsViewSet, basename="year-contracts")
router.register(
    "header-contracts", app.HeaderContractsViewSet, basename="header-contracts"
)
router.register(
    "token-contracts", app.TokenContractsViewSet, basename="token-contracts"
)
router.register(
    "scoped-contracts", app.ScopedContractsViewSet, basename="scoped-contracts"
)
router.register("forgetful-contracts", app.ForgetfulContractsViewSet, basename="forget")
router.register("oblivious-contracts", app.ObliviousContractsViewSet, basename="obliv")
router.register("claimed-contracts", app.ClaimedContractsViewSet, basename="claimed")
router.register("opaque-contracts", app.OpaqueContractsViewSet, basename="opaque")
router.register("context-contracts", app.ContextContractsViewSet, basename="context")
router.register(
    "model-permission-contracts",
    app.ModelPermissionContractsViewSet,
    basename="model-permission-contracts",
)
router.register(
    "unlocked-contracts", app.UnlockedContractsViewSet, basename="unlocked-contracts"
)
router.register("agent-contracts", app.AgentContractsViewSet, basename="agent")
router.register("plain-contracts", app.PlainContractsViewSet, basename="plain")
router.register("read-contracts", app.ReadOnlyContractsViewSet, basename="read")
router.register("sync-contracts", app.OnlySyncContractsViewSet, basename="only-sync")
router.register("own-actions", app.OwnActionsViewSet, basename="own-actions")
router.register("drf-async", app.AsyncContractsViewSet, basename="drf-async")
async_router = AsyncRouter()
async_router.register("async-contracts", app.AsyncContractsViewSet, basename="async")
async_router.register("async-shouts", app.AsyncShoutsViewSet, basename="async-shouts")
router.register("accounts", app.AccountViewSet, basename="accounts")
router.register("tags", app.TagViewSet, basename="tags")
router.register("articles", app.ArticleViewSet, basename="articles")
router.register("products", app.ProductViewSet, basename="products")
router.register("products-by-rows", app.ProductsByRowsViewSet, basename="rows-products")
router.register("our-products", app.TenantProductViewSet, basename="our-products")
router.register(
    "our-products-by-rows", app.TenantProductsByRowsViewSet, basename="by-rows"
)
router.register("events", app.EventViewSet, basename="events")
router.register("owned-shouts", app.OwnedShoutsViewSet, basename="owned-shouts")

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("api/", include(router.urls)),
    path("api/", include(async_router.urls)),
    path("shop/", views.Shop.as_view()),
    path("patient/", views.Patient.as_view()),
    path("shop/<slug:branch>/", views.Shop.as_view()),
    path("failing/", views.Failing.as_view()),
    path("six/", views.Six.as_view()),
    path("users/", views.Users.as_view()),
    path("private/", views.Private.as_view()),
    path("shrinking/", views.Shrinking.as_view()),
    path("endless/", views.Endless.as_view()),
    path("locale/", views.Locale.as_view()),
    path("no-list/", views.NoList.as_view()),
    path("async-declared/", views.AsyncDeclared.as_view()),
]
