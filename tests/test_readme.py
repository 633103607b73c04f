"""What the README shows is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.db.models import Count
from django.test import AsyncClient
from django.urls import include, path
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ModelViewSet

from django_partstream import ProgressiveView, lazy
from django_partstream.asgi import get_application
from django_partstream.mixins import BulkOperationsMixin
from tests.app.models import Contract as Order
from tests.app.serializers import ContractSerializer as OrderSerializer

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()

#: What a reader's own files import.
IMPORTS = {
    "BulkOperationsMixin": BulkOperationsMixin,
    "Count": Count,
    "ModelViewSet": ModelViewSet,
    "Order": Order,
    "OrderSerializer": OrderSerializer,
    "ProgressiveView": ProgressiveView,
    "get_application": get_application,
    "include": include,
    "lazy": lazy,
    "path": path,
}


@pytest.fixture
def project(settings: Any) -> Any:
    """The README's Python, as one module and the URLconf."""
    module: Any = ModuleType("readme")
    module.__dict__.update(IMPORTS)

    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README.md", "exec"), module.__dict__)

    router = DefaultRouter()
    router.register("orders", module.OrderViewSet)
    module.urlpatterns += [path("api/", include(router.urls))]
    settings.ROOT_URLCONF = module

    return module


def addresses() -> list[str]:
    return re.findall(r"localhost:8000(/[^\s']*)", README)


def merged(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The parts, lists of which arrive as items."""
    data: dict[str, Any] = {}

    for frame in frames:
        if frame["type"] == "items":
            data.setdefault(frame["name"], []).extend(frame["items"])
        elif frame["type"] == "part" and "data" in frame:
            data[frame["name"]] = frame["data"]

    return data


@pytest.mark.django_db(transaction=True)
async def test_the_readme_runs(project: Any, async_client: AsyncClient) -> None:
    dashboard, orders = addresses()
    upload = await async_client.post(
        orders,
        b"number,year\nA1,2024\nA2,2025\nA3,2025\n",
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )
    assert upload.status_code == 202, upload.content
    at_once = await async_client.post(
        orders, b"number,year\nA1,2024\nA2,2025\nA3,2025\n", content_type="text/csv"
    )
    assert at_once.status_code == 200, at_once.content

    response: Any = await async_client.get(
        dashboard, headers={"Accept": "application/x-ndjson"}
    )
    body = b"".join([chunk async for chunk in response])
    frames = [json.loads(line) for line in body.splitlines()]

    data = merged(frames)
    assert data["orders"] == 3
    assert data["by_year"] == [
        {"year": 2024, "orders": 1},
        {"year": 2025, "orders": 2},
    ]
    assert [row["number"] for row in data["latest"]] == ["A3", "A2", "A1"]
    assert callable(project.application)


def test_the_readme_is_one_screen_and_its_files_are_there() -> None:
    root = Path(__file__).resolve().parent.parent

    assert len(README.splitlines()) <= 90
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("http") or (root / link).exists(), link


def test_the_make_targets_are_there() -> None:
    makefile = (Path(__file__).resolve().parent.parent / "Makefile").read_text()

    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
