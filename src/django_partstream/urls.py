"""The job views: `path("api/", include("django_partstream.urls"))`."""

from __future__ import annotations

from django.urls import path

from . import health, views

__all__ = ("app_name", "urlpatterns")

app_name = "partstream"

urlpatterns = [
    path("livez", health.LiveView.as_view(), name="livez"),
    path("readyz", health.ReadyView.as_view(), name="readyz"),
    path("operations/", views.OperationListView.as_view(), name="operation-list"),
    path(
        "operations/<uuid:job_id>/status/",
        views.OperationStatusView.as_view(),
        name="operation-status",
    ),
    path(
        "bulk-operations/<uuid:job_id>/status/",
        views.OperationStatusView.as_view(),
        name="bulk-operation-status",
    ),
    path(
        "operations/<uuid:job_id>/events/",
        views.OperationEventsView.as_view(),
        name="operation-events",
    ),
    path(
        "operations/<uuid:job_id>/results/",
        views.OperationResultsView.as_view(),
        name="operation-results",
    ),
    path(
        "operations/<uuid:job_id>/retry/",
        views.OperationRetryView.as_view(),
        name="operation-retry",
    ),
]
