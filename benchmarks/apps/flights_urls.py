"""The addresses of the servers that load flights."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from asgi_example.flights import views


def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse("{}")


router = SimpleRouter()
router.register("flights", views.FlightViewSet)
router.register("airlines", views.AirlineViewSet)

urlpatterns = [
    path("ready/", ready),
    path("api/", include("django_partstream.urls")),
    path("api/", include(router.urls)),
]
