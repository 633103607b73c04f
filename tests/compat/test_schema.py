"""A schema of the further addresses, as the readme of django-drf-extensions has it
made. In a process of its own: DRF reads its settings when views are imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests import settings

CODE = """
import json, django
from django.conf import settings
import tests.settings as ours

settings.configure(**{
    **{name: getattr(ours, name) for name in dir(ours) if name.isupper()},
    "INSTALLED_APPS": [*dict.fromkeys([*ours.INSTALLED_APPS, "drf_spectacular"])],
    "REST_FRAMEWORK": {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"},
    "SPECTACULAR_SETTINGS": {
        "TITLE": "Your API", "DESCRIPTION": "Your API description", "VERSION": "1.0.0",
    },
    "ROOT_URLCONF": "tests.compat.schema_urls",
})
django.setup()

from django.test import Client

client = Client()
print(json.dumps({
    "schema": client.get("/api/schema/?format=json").json(),
    "docs": client.get("/api/docs/").status_code,
}))
"""


@pytest.fixture(scope="module")
def made() -> Any:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        cwd=settings.ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr

    return json.loads(done.stdout)


def test_the_snippets_of_the_readme_make_a_schema_and_its_page(made: Any) -> None:
    assert made["schema"]["info"]["title"] == "Your API"
    assert made["docs"] == 200


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("operations", {"get", "post", "put", "patch", "delete"}),
        ("bulk", {"get", "post", "put", "patch", "delete"}),
        ("upsert", {"post", "put", "patch"}),
        ("operations/query", {"post"}),
    ],
)
def test_every_further_address_is_in_it(
    made: Any, path: str, methods: set[str]
) -> None:
    found = made["schema"]["paths"][f"/api/contracts/{path}/"]

    assert {*found} == methods
    ids = [operation["operationId"] for operation in found.values()]
    assert len({*ids}) == len(ids)
