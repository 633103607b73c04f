"""The addresses of ours and of the Django peers."""

from __future__ import annotations

from django.urls import include, path

from . import page, views

urlpatterns = [
    path("api/", include("django_partstream.urls")),
    path("frames/", views.Frames.as_view()),
    path("six/", views.Six.as_view()),
    path("items/", views.Items.as_view()),
    path("parts/", views.Parts.as_view()),
    path("changing/", views.Changing.as_view()),
    path("idle/", views.Idle.as_view()),
    path("encoder/", views.encoder),
    path("plain/", views.plain),
    path("padded/", views.padded),
    path("django/frames/", views.django_frames),
    path("django/idle/", views.django_idle),
    path("page/", page.page),
    path("partstream.js", page.client),
    path("tables/", views.Tables.as_view()),
    path("drf/frames/", views.PlainFrames.as_view()),
    path("adrf/frames/", views.AdrfFrames.as_view()),
    path("drf/tables/", views.PlainTables.as_view()),
    path("drf/one/<str:name>/", views.PlainOne.as_view()),
    path("drf/six/", views.PlainSerial.as_view()),
    path("adrf/six/", views.AdrfGather.as_view()),
    path("adrf/threads/six/", views.AdrfGatherThreads.as_view()),
]
