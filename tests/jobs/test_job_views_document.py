"""The guide to views in jobs: its view is run, in a request and in a worker."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from django.test import Client
from django.urls import include, path
from rest_framework.routers import DefaultRouter

from django_partstream import conf
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job
from tests import documents
from tests.app.models import Product
from tests.app.serializers import ProductSerializer

pytestmark = pytest.mark.django_db

DOCUMENT = "docs/job-views.md"


def tenant_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        request.tenant = request.get_host().partition(".")[0]

        return get_response(request)

    return middleware


@pytest.fixture
def guide(settings: Any) -> Iterator[Any]:
    module = documents.run_python(
        DOCUMENT, Order=Product, OrderSerializer=ProductSerializer
    )
    router = DefaultRouter()
    router.register("orders", module.OrderViewSet, basename="orders")
    site: Any = ModuleType("tests_job_views_site")
    site.urlpatterns = [
        path("api/", include("django_partstream.urls")),
        path("api/", include(router.urls)),
    ]
    sys.modules[site.__name__] = site
    settings.ROOT_URLCONF = site.__name__
    settings.ALLOWED_HOSTS = [".example.org"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.tenant_middleware"]
    yield module
    del sys.modules[site.__name__]


def test_the_worker_sees_the_rows_of_the_requests_tenant(
    client: Client, guide: Any
) -> None:
    for serial, tenant in enumerate(("acme", "other")):
        Product.objects.create(tenant=tenant, code=tenant, serial=serial)

    response = client.post(
        "/api/orders/?unique_fields=code",
        json.dumps(
            [
                {"code": code, "serial": serial, "price": 7}
                for serial, code in enumerate(("acme", "other"))
            ]
        ),
        content_type="application/json",
        headers={"Prefer": "respond-async", "Host": "acme.example.org"},
    )
    assert response.status_code == 202, response.content
    job = Job.objects.get()
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )

    job.refresh_from_db()
    assert (job.updated, job.failed) == (1, 1)
    assert dict(Product.objects.values_list("tenant", "price")) == {
        "acme": 7,
        "other": 0,
    }


def test_its_settings_are_settings(guide: Any, settings: Any) -> None:
    settings.PARTSTREAM = guide.PARTSTREAM

    assert conf.problems() == []
    assert conf.current().job_headers == ("X-Region",)
