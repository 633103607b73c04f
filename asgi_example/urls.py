"""Every address of the example."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.contrib.auth import views as auth_views
from django.urls import include, path
from rest_framework.authtoken.views import obtain_auth_token
from rest_framework.routers import DefaultRouter

from asgi_example import pages
from asgi_example.flights import views

router = DefaultRouter()
router.register("flights", views.FlightViewSet)
router.register("airlines", views.AirlineViewSet)
router.register("airports", views.AirportViewSet)
router.register("planes", views.PlaneViewSet)

handler404 = "asgi_example.pages.not_found"

urlpatterns = [
    path("", pages.index),
    path("static/<path:name>", pages.static_file),
    path("data/flights-2013-01.csv", pages.january),
    path("api/session/", pages.session, name="session"),
    path("api/dashboard/", views.DashboardView.as_view(), name="dashboard"),
    path("api/", include("django_partstream.urls")),
    path("api/", include(router.urls)),
]

if apps.is_installed("drf_spectacular"):
    from drf_spectacular.views import SpectacularAPIView

    urlpatterns.append(path("api/schema/", SpectacularAPIView.as_view()))

if settings.DEMO_FULL:
    urlpatterns += [
        path(
            "accounts/login/",
            auth_views.LoginView.as_view(redirect_authenticated_user=True),
            name="login",
        ),
        path("accounts/logout/", auth_views.LogoutView.as_view(), name="logout"),
        path("api/token/", obtain_auth_token, name="token"),
    ]
