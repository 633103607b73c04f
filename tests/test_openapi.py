"""Our views in a schema of OpenAPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import pytest
from django.db.models import QuerySet
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ModelViewSet

from asgi_example import ports
from asgi_example.processes import Site
from django_partstream import ProgressiveView, cached_for, lazy, safe_call
from django_partstream.mixins import BulkOperationsMixin
from tests import documents, forms
from tests.app.models import Contract, Customer
from tests.app.serializers import ContractSerializer
from tests.npm import NODE, PACKAGES

ROOT = Path(__file__).resolve().parent.parent

# Parts are told apart in generated types: a wrong name or a wrong member is an error.
TYPES = """
import type { components } from "./schema";

type Frame = components["schemas"]["DashboardFrame"];

export function count(frame: Frame): number {
  if (frame.type === "part" && frame.name === "overview" && frame.data) {
    return frame.data.flights;
  }
  if (frame.type === "error") {
    return frame.error.status;
  }
  // @ts-expect-error there is no such type of frame
  return frame.type === "nothing" ? 1 : 0;
}
"""


class Totals(TypedDict):
    year: int
    total: str


class Report(ProgressiveView):
    """What was agreed."""

    def get_parts(self) -> Any:
        return [
            ("shop", "North"),
            ("totals", lazy(safe_call(cached_for(60)(self.totals)))),
            ("contracts", lazy(self.contracts, serializer=ContractSerializer)),
            ("latest", lazy(self.latest, serializer=ContractSerializer)),
            ("either", lazy(self.either, serializer=ContractSerializer)),
            ("numbers", lazy(self.numbers)),
            ("unsaid", lazy(lambda: 1)),
        ]

    def totals(self) -> list[Totals]:
        return []

    def contracts(self) -> QuerySet[Contract]:
        return Contract.objects.all()

    def latest(self) -> Contract:
        return Contract.objects.latest("pk")

    def either(self):
        return Contract.objects.first()

    async def numbers(self) -> AsyncIterator[int]:
        yield 1


class ContractViewSet(BulkOperationsMixin, ModelViewSet[Contract]):
    queryset = Contract.objects.order_by("pk")
    serializer_class = ContractSerializer


class Unsaid(ProgressiveView):
    def get_parts(self) -> Any:
        raise LookupError("no tenant")


def generated(settings: Any, *patterns: Any) -> dict[str, Any]:
    urls: Any = ModuleType("openapi_urls")
    urls.urlpatterns = list(patterns)
    settings.ROOT_URLCONF = urls
    schema: dict[str, Any] = SchemaGenerator(patterns=urls.urlpatterns).get_schema(
        public=True
    )
    validate_schema(schema)

    return schema


@pytest.fixture
def report(settings: Any) -> dict[str, Any]:
    return generated(settings, path("report/", Report.as_view()))


@pytest.fixture
def contracts(settings: Any) -> dict[str, Any]:
    router = DefaultRouter()
    router.register("contracts", ContractViewSet)

    return generated(
        settings,
        path("", include(router.urls)),
        path("", include("django_partstream.urls")),
    )


def test_a_part_has_the_schema_of_its_serializer_or_of_its_type(
    report: dict[str, Any],
) -> None:
    schemas = report["components"]["schemas"]
    contract = {"$ref": "#/components/schemas/Contract"}
    totals = {
        "type": "object",
        "properties": {"year": {"type": "integer"}, "total": {"type": "string"}},
        "required": ["total", "year"],
    }
    expected = {
        "Shop": {"type": "string"},
        "Totals": {"type": "array", "items": totals},
        "Contracts": {"type": "array", "items": contract},
        "Latest": contract,
        "Either": {"anyOf": [contract, {"type": "array", "items": contract}]},
        "Numbers": {"type": "array", "items": {"type": "integer"}},
        "Unsaid": {},
    }

    found = {
        part: schemas[f"Report{part}PartFrame"]["properties"]["data"]
        for part in expected
    }

    assert found == expected


def test_frames_are_a_union_that_their_type_tells_apart(report: dict[str, Any]) -> None:
    frame = report["components"]["schemas"]["ReportFrame"]

    assert frame["discriminator"]["propertyName"] == "type"
    assert [*frame["discriminator"]["mapping"]] == [
        *("start", "part", "items", "error", "ping", "live", "end")
    ]
    assert len(frame["oneOf"]) == 7


def test_a_view_answers_pages_frames_and_problems(report: dict[str, Any]) -> None:
    operation = report["paths"]["/report/"]["get"]

    assert operation["description"] == "What was agreed."
    assert {p["name"] for p in operation["parameters"]} == {
        *("cursor", "parts", "chunk_size", "live", "format", "Last-Event-ID")
    }
    assert {*operation["responses"]["200"]["content"]} == {
        *("application/json", "application/x-ndjson", "text/event-stream")
    }
    assert operation["responses"]["410"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
    }


def test_a_view_that_wants_a_real_request_has_a_schema_without_its_parts(
    settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = generated(settings, path("unsaid/", Unsaid.as_view()))

    assert "UnsaidFrame" in schema["components"]["schemas"]
    assert (
        "get_parts() of Unsaid raised LookupError: no tenant; the schema has no parts "
        "of it." in capsys.readouterr().err
    )


def test_a_collection_takes_an_array_or_a_file(contracts: dict[str, Any]) -> None:
    collection = contracts["paths"]["/contracts/"]
    one = {"$ref": "#/components/schemas/Contract"}
    content = collection["post"]["requestBody"]["content"]

    assert content["application/json"]["schema"] == {
        "oneOf": [one, {"type": "array", "items": one}]
    }
    assert {*content} == {
        "application/json",
        "application/x-ndjson",
        "text/csv",
        "multipart/form-data",
    }
    assert {*collection["post"]["responses"]} >= {"200", "201", "202", "207", "400"}
    assert {p["name"] for p in collection["patch"]["parameters"]} == {
        *("unique_fields", "update_fields", "format", "Prefer", "Idempotency-Key")
    }
    assert {method: one["operationId"] for method, one in collection.items()} == {
        "get": "contracts_list",
        "post": "contracts_create",
        "put": "contracts_replace_many",
        "patch": "contracts_update_many",
        "delete": "contracts_delete_many",
    }


def test_an_objects_own_address_is_as_everywhere(contracts: dict[str, Any]) -> None:
    detail = contracts["paths"]["/contracts/{id}/"]

    assert detail["put"]["operationId"] == "contracts_update"
    assert "202" not in detail["put"]["responses"]
    assert {*detail["put"]["responses"]} >= {"200", "400", "404"}


def test_jobs_have_their_addresses(contracts: dict[str, Any]) -> None:
    status = contracts["paths"]["/operations/{job_id}/status/"]

    assert {*status["get"]["responses"]} >= {"200", "304", "404"}
    assert {*status["delete"]["responses"]} >= {"200", "202", "404"}
    assert "JobFrame" in contracts["components"]["schemas"]


@pytest.fixture(scope="module")
def example_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schema of the example, made without a warning."""
    folder = tmp_path_factory.mktemp("openapi")
    file = folder / "schema.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "asgi_example.manage", "spectacular"),
            *("--validate", "--fail-on-warn", "--format", "openapi-json"),
            *("--file", file),
        ],
        cwd=ROOT,
        env={**os.environ, "DEMO_DB_PATH": str(folder / "demo.sqlite3"), **EXAMPLE},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

    return file


SCHEMATHESIS_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
EXAMPLE = {"DJANGO_SETTINGS_MODULE": "asgi_example.settings"}


@pytest.fixture
def example(tmp_path: Path) -> Iterator[str]:
    """The example, with airlines, airports and planes; its address."""
    environment = {
        **os.environ,
        **EXAMPLE,
        "DEMO_DB_PATH": str(tmp_path / "demo.sqlite3"),
        # A live stream lasts twelve deadlines.
        "DEMO_PARTSTREAM": json.dumps({"STREAM_DEADLINE_SECONDS": 0.2}),
    }

    for command in (["migrate", "-v0"], ["load_reference"]):
        subprocess.run(
            [sys.executable, "-m", "asgi_example.manage", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=200,
            check=True,
        )

    with Site() as site:
        port = ports.free_port()
        command = [sys.executable, "-m", "uvicorn", "--host", ports.HOST]
        site.start(
            "uvicorn",
            [*command, "--port", str(port), "asgi_example.asgi:application"],
            cwd=ROOT,
            environment=environment,
        ).wait_until_logged("Uvicorn running", seconds=60)

        yield f"http://{ports.HOST}:{port}"


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_example_is_as_its_schema_says(example: str, tmp_path: Path) -> None:
    seconds = forms.count(10, 600)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            *(f"{example}/api/schema/", "--max-time", str(seconds)),
            *("--phases", "coverage,fuzzing", "--warnings", "off"),
            *("--request-timeout", "60", "--suppress-health-check", "all"),
            # The same requests in each short run, as many as there is time for.
            *(() if forms.LONG else ("--seed", "1", "--generation-deterministic")),
            *("--checks", ",".join(SCHEMATHESIS_CHECKS), "--continue-on-failure"),
        ],
        # It keeps what it finds in the folder where it runs.
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=seconds + 300,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_the_examples_schema_is_valid(example_schema: Path) -> None:
    schema = json.loads(example_schema.read_text())

    assert "/api/dashboard/" in schema["paths"]
    assert "DashboardOverviewPartFrame" in schema["components"]["schemas"]


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("npm_packages")
def test_typescript_knows_the_frames(example_schema: Path, tmp_path: Path) -> None:
    (tmp_path / "use.ts").write_text(TYPES)

    commands: list[list[str | Path]] = [
        [
            PACKAGES / "openapi-typescript" / "bin" / "cli.js",
            example_schema,
            *("--output", tmp_path / "schema.d.ts"),
        ],
        [
            PACKAGES / "typescript" / "bin" / "tsc",
            *("--strict", "--noEmit", "--target", "es2022", tmp_path / "use.ts"),
        ],
    ]

    for command in commands:
        done = subprocess.run(
            [NODE, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_does_what_it_says(settings: Any) -> None:
    shop: Any = ModuleType("shop")
    shop.models = ModuleType("shop.models")
    shop.models.Customer = Customer

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "shop", shop)
        patch.setitem(sys.modules, "shop.models", shop.models)
        guide = documents.run_python("docs/openapi.md")

    schema = generated(settings, path("dashboard/", guide.Dashboard.as_view()))
    part = schema["components"]["schemas"]["DashboardTotalsPartFrame"]

    assert part["properties"]["data"]["properties"] == {
        "customers": {"type": "integer"}
    }
