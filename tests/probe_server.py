"""A server to probe: `uvicorn tests.probe_server:application`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from types import ModuleType
from typing import Any

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
urlconf: Any = ModuleType("urlconf_of_the_probe_server")
settings.ROOT_URLCONF = urlconf
settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware"]

from django_partstream.asgi import get_application  # noqa: E402 - after the settings

# No jobs: they would want tables.
application = get_application(background=contextlib.nullcontext)

from django.http import JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402

from django_partstream import ProgressiveView, lazy  # noqa: E402

#: Seconds of the slowest part.
SLOWEST = 0.4


async def after(seconds: float) -> float:
    await asyncio.sleep(seconds)

    return seconds


class Dashboard(ProgressiveView):
    def get_parts(self) -> Any:
        return [
            ("now", 0),
            ("middle", lazy(lambda: after(SLOWEST / 2))),
            ("slowest", lazy(lambda: after(SLOWEST))),
        ]


class Quick(ProgressiveView):
    def get_parts(self) -> Any:
        return [("one", 1), ("two", 2)]


class Endless(ProgressiveView):
    def get_parts(self) -> Any:
        return [("now", 0), ("never", lazy(lambda: after(3600)))]


class Private(Quick):
    permission_classes = [IsAuthenticated]


def plain(request: Any) -> JsonResponse:
    return JsonResponse({"results": []})


urlconf.urlpatterns = [
    path("dashboard/", Dashboard.as_view()),
    path("quick/", Quick.as_view()),
    path("endless/", Endless.as_view()),
    path("private/", Private.as_view()),
    path("plain/", plain),
]
