"""What the client is tested against: `uvicorn tests.client_server:application`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
urlconf: Any = ModuleType("urlconf_of_the_client_server")
settings.ROOT_URLCONF = urlconf
settings.ALLOWED_HOSTS = ["127.0.0.1"]

from django_partstream.asgi import get_application  # noqa: E402 - after the settings

# No jobs of the package: they would want tables.
application = get_application(background=contextlib.nullcontext)

from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from django_partstream import ProgressiveView, frames, lazy  # noqa: E402
from django_partstream.transports.streaming import FrameResponse  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from django.http import HttpRequest

#: Comes from a server, not from Playwright: a page without an address of its own may
#: open no socket to this machine.
PAGE = """<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<script type="importmap">
{"imports": {"react": "/npm/react.js", "vue": "/npm/vue.js"}}
</script>
<div id="app"></div>
<script type="module" src="/script.js"></script>
"""

#: What happened, by the key that a test put into its addresses.
seen: Counter[str] = Counter()


class Dashboard(ProgressiveView):
    """Three parts that take their time, and one that fails the first time."""

    authentication_classes: list[Any] = []

    def get_parts(self) -> Any:
        key = self.request.GET["key"]
        seen[f"{key} asked"] += 1

        return [
            ("now", {"city": "Zürich 東京 🛫"}),
            ("middle", lazy(lambda: self.after(0.15))),
            ("slowest", lazy(lambda: self.after(0.3))),
            ("flaky", lazy(self.flaky)),
        ]

    async def after(self, seconds: float) -> float:
        key = self.request.GET["key"]
        seen[f"{key} made"] += 1
        await asyncio.sleep(seconds * float(self.request.GET.get("slower", "1")))

        return seconds

    def flaky(self) -> str:
        key = f"{self.request.GET['key']} flaky"
        seen[key] += 1

        if seen[key] == 1:
            raise RuntimeError("the first time")

        return "there"


class Endless(ProgressiveView):
    authentication_classes: list[Any] = []

    def get_parts(self) -> Any:
        return [("now", 1), ("never", lazy(self.never))]

    async def never(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen[f"{self.request.GET['key']} cancelled"] += 1


async def job(seconds: float) -> AsyncGenerator[frames.Frame]:
    """Frames as those of a job."""
    yield frames.Start(parts=(), cursor=None)

    for current in range(5):
        progress = {"current": current, "total": 4, "percentage": 25.0 * current}
        state = "PROGRESS" if current < 4 else "SUCCESS"
        yield frames.Progress(
            snapshot={"state": state, "progress": progress, "seq": current}
        )
        await asyncio.sleep(seconds)

    yield frames.End(ok=4, failed=0, cursor=None, reason="complete")


async def events(request: HttpRequest) -> FrameResponse:
    return FrameResponse(job(0.05))


async def counts(request: HttpRequest) -> JsonResponse:
    return JsonResponse(seen)


async def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


urlconf.urlpatterns = [
    path("page/", page),
    path("dashboard/", Dashboard.as_view()),
    path("endless/", Endless.as_view()),
    path("operations/1/events/", events),
    path("counts/", counts),
]
