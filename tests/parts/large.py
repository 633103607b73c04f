"""A site with lists of any length, for a server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.urls import path

from django_partstream import ProgressiveView, lazy
from tests.app.models import Account
from tests.parts.plans import AccountSerializer


def row(number: int) -> dict[str, Any]:
    return {"name": f"account {number}", "tenant": "ours", "number": number}


class Large(ProgressiveView):
    """One list of `rows` rows, made as `kind` says."""

    def get_parts(self) -> Any:
        rows = int(self.request.GET["rows"])
        accounts = Account.objects.order_by("pk")[:rows]

        def generated() -> Iterator[Any]:
            yield from map(row, range(rows))

        async def generated_async() -> AsyncIterator[Any]:
            for number in range(rows):
                yield row(number)

        kinds = {
            "values": lambda: lazy(lambda: accounts.values("id", "name", "tenant")),
            "instances": lambda: lazy(lambda: accounts, serializer=AccountSerializer),
            "generator": lambda: lazy(generated),
            "async": lambda: lazy(generated_async),
        }

        return [("rows", kinds[self.request.GET["kind"]]())]


def peak(request: HttpRequest) -> JsonResponse:
    """The most memory that this process ever had, in bytes."""
    # `getrusage` would begin with that of the process which started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))

    return JsonResponse({"bytes": int(line.split()[1]) * 1024})


urlpatterns = [path("large/", Large.as_view()), path("peak/", peak)]
