"""The addresses of the tests, and Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from tests.urls import urlpatterns as others

urlpatterns = [path("admin/", admin.site.urls), *others]
