"""The addresses of the streams."""

from __future__ import annotations

from django.urls import include, path

from tests.streams import views

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("blank/", views.blank),
    path("release/<slug:name>/", views.release),
    path("state/", views.state),
    path("restart/", views.restart),
    path("without-collector/", views.without_collector),
    path("cut/", views.Cut.as_view()),
    path("failing/", views.Failing.as_view()),
    path("flood/", views.Flood.as_view()),
    path("impatient/", views.Impatient.as_view()),
    path("late/", views.Late.as_view()),
    path("needs-token/", views.NeedsToken.as_view()),
    path("needs-user/", views.NeedsUser.as_view()),
    path("quick/", views.Quick.as_view()),
    path("remembering/", views.Remembering.as_view()),
    path("rows/", views.Rows.as_view()),
    path("steps/", views.Steps.as_view()),
    path("throttled/", views.Throttled.as_view()),
    path("type-errors/", views.TypeErrors.as_view()),
    path("two/", views.Two.as_view()),
    path("writing/", views.Writing.as_view()),
]
