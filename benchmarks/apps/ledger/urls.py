"""The addresses of ours, of plain DRF and of the floors; of a peer, its own alone."""

from __future__ import annotations

import os

from django.http import HttpResponse
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from . import floors, views

router = SimpleRouter()
router.register("transactions", views.OurTransactions)
router.register("contracts", views.OurContracts)

MANY = {
    "post": "create",
    "put": "upsert",
    "patch": "update_many",
    "delete": "delete_many",
}

urlpatterns = [
    path("ready/", lambda request: HttpResponse("{}")),
    path("floor/reset/", floors.reset),
    path("floor/store/", floors.store),
    path("floor/validate/", floors.validate),
    path("ours/", include(router.urls)),
    path("drf/transactions/", views.PlainTransactions.as_view(MANY)),
    path("drf/contracts/", views.PlainContracts.as_view(MANY)),
    path("api/", include("django_partstream.urls")),
]

if os.environ.get("BENCH_PEER"):
    from .peers import urlpatterns as of_peer

    urlpatterns += of_peer
