"""The check that job addresses are there, for whoever makes jobs."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.core.checks import run_checks
from rest_framework.routers import DefaultRouter

from . import views


@pytest.mark.parametrize(
    ("viewset", "is_said"),
    [
        (views.ContractViewSet, True),
        (views.TransactionViewSet, True),
        (views.CreatesViewSet, True),
        (views.AsyncReadsViewSet, True),
        (views.UpsertsViewSet, False),
        (views.NoJobsViewSet, False),
    ],
)
def test_addresses_of_jobs_are_missed_where_there_may_be_some(
    settings: Any, viewset: Any, is_said: bool
) -> None:
    router = DefaultRouter()
    router.register("rows", viewset, basename="rows")
    urlconf: Any = ModuleType("urlconf")
    urlconf.urlpatterns = router.urls
    settings.ROOT_URLCONF = urlconf
    expected = (
        f"The job addresses are not mounted; a bulk request to {viewset.__qualname__} "
        "that would become a job is refused."
    )

    said = [m for m in run_checks(tags=["partstream"]) if m.id == "partstream.W001"]

    assert [message.msg for message in said] == [expected] * is_said
