"""The addresses of the live views."""

from __future__ import annotations

from django.urls import include, path

from tests.live import views

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("board/", views.Board.as_view()),
    path("slow/", views.Slow.as_view()),
    path("listed/", views.Listed.as_view()),
    path("accounts/", views.Accounts.as_view()),
    path("guarded/", views.Guarded.as_view()),
    path("staff/", views.Staff.as_view()),
    path("model-permission/", views.ModelPermission.as_view()),
    path("throttled/", views.Throttled.as_view()),
    path("totals/", views.Totals.as_view()),
    path("bearer/", views.Bearer.as_view()),
    path("owned/<int:pk>/", views.Owned.as_view()),
    path("steps/", views.Steps.as_view()),
    path("blocking/", views.Blocking.as_view()),
    path("unblock/", views.unblock),
    path("whoami/", views.whoami),
    path("flood/", views.flood),
    path("state/", views.state),
    path("show/<str:name>/<str:value>/", views.show),
    path("publish/<str:topic>/", views.publish_topic),
    path("request-thread/", views.InRequestThread.as_view()),
]
