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
from django.views.decorators.csrf import csrf_exempt  # noqa: E402

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

        # In this process, not in the next.
        if seconds > 0.2 and self.request.GET.get("stuck") == str(os.getpid()):
            await asyncio.Event().wait()

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


class Shop(ProgressiveView):
    """The dashboard of the guide. Its weather comes only when it is asked for alone."""

    authentication_classes: list[Any] = []

    def get_parts(self) -> Any:
        return [
            ("orders", 3),
            ("by_year", lazy(self.by_year)),
            ("weather", lazy(self.weather)),
        ]

    async def by_year(self) -> list[dict[str, int]]:
        await asyncio.sleep(0.2)

        return [{"year": 2025, "orders": 3}]

    async def weather(self) -> str:
        await asyncio.sleep(0.05)

        if "parts" not in self.request.GET:
            raise RuntimeError("no weather")

        return "sunny"


@csrf_exempt
async def orders(request: HttpRequest) -> JsonResponse:
    job = "/api/operations/1"

    return JsonResponse(
        {
            "task_id": "1",
            "total_items": 2,
            "status_url": f"{job}/status/",
            "events_url": f"{job}/events/",
            "results_url": f"{job}/results/",
        },
        status=202,
    )


async def job(seconds: float, *, total: int) -> AsyncGenerator[frames.Frame]:
    """Frames as those of a job."""
    yield frames.Start(parts=(), cursor=None)

    for current in range(total + 1):
        percentage = 100 * current / total
        progress = {"current": current, "total": total, "percentage": percentage}
        state = "PROGRESS" if current < total else "SUCCESS"
        yield frames.Progress(
            snapshot={"state": state, "progress": progress, "seq": current}
        )
        await asyncio.sleep(seconds)

    yield frames.End(ok=total, failed=0, cursor=None, reason="complete")


async def events(request: HttpRequest, total: int) -> FrameResponse:
    return FrameResponse(job(0.05, total=total))


async def counts(request: HttpRequest) -> JsonResponse:
    return JsonResponse(seen)


async def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


urlconf.urlpatterns = [
    path("page/", page),
    path("dashboard/", Dashboard.as_view()),
    path("endless/", Endless.as_view()),
    path("operations/1/events/", events, {"total": 4}),
    path("api/dashboard/", Shop.as_view()),
    path("api/orders/", orders),
    path("api/operations/1/events/", events, {"total": 2}),
    path("counts/", counts),
]
