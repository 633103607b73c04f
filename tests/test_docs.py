"""What the documents show is run. How a block is marked: see `documents`."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unittest
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client, override_settings
from django.urls import path

from asgi_example import ports
from asgi_example.processes import Site
from django_partstream import ProgressiveView, conf
from tests import documents, documents_site
from tests.app.models import Customer, Order
from tests.documents import Block
from tests.npm import NODE

#: The documents whose blocks are all run here, as a site with an app `shop`.
SITES = ("docs/progressive-views.md",)
KINDS = {"python", "python wrong", "sh", "json", "js", "text"}

ROOT = documents.ROOT


def every(first: str, second: str) -> pytest.MarkDecorator:
    """A parameter for each pair of such blocks in any document."""
    return pytest.mark.parametrize(
        ("document", "block", "answer"),
        [
            pytest.param(document, *pair, id=f"{Path(document).stem}-{pair[0]}")
            for document in SITES
            for pair in documents.pairs(document, first, second)
        ],
    )


@pytest.fixture
def order(transactional_db: None) -> None:
    """The one order that the documents' answers speak of."""
    Customer.objects.all().delete()
    ann = Customer.objects.create(name="Ann")
    Order.objects.create(pk=1, customer=ann, total=Decimal("12.50"))


@pytest.fixture(scope="module")
def origins() -> Iterator[dict[str, str]]:
    """A server for each document."""
    with Site() as site:
        found = {}

        for document in SITES:
            port = ports.free_port()
            command = [sys.executable, "-m", "uvicorn", "--host", ports.HOST]
            process = site.start(
                "uvicorn",
                [*command, "--port", str(port), "tests.documents_site:application"],
                cwd=ROOT,
                environment={**os.environ, "DOCUMENT": document},
            )
            process.wait_until_logged("Uvicorn running", seconds=60)
            found[document] = f"http://{ports.HOST}:{port}"

        yield found


@every("sh", "json")
def test_a_command_gets_the_answer(
    document: str, block: Block, answer: Block, origins: dict[str, str], order: None
) -> None:
    [(url, headers)] = documents.requests(block)

    response = httpx.get(origins[document] + url, headers=headers, timeout=20)

    if "x-ndjson" in response.headers["Content-Type"]:
        shown, found = answer.text.splitlines(), response.text.splitlines()
        assert len(shown) == len(found), response.text
    else:
        shown, found = [answer.text], [response.text]

    for one, other in zip(shown, found, strict=True):
        assert documents.is_like(json.loads(one), json.loads(other)), other


@every("js", "text")
def test_a_script_prints_what_is_shown(
    document: str, block: Block, answer: Block, origins: dict[str, str], order: None
) -> None:
    script = (
        "const { fetch: plain } = globalThis;"
        "globalThis.fetch = (url, options) =>"
        f" plain(new URL(url, '{origins[document]}'), options);\n{block.text}"
    )
    done = subprocess.run(
        [NODE, "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.stdout, done.stderr) == (answer.text, "")


@every("python wrong", "text")
def test_a_mistake_is_answered_as_shown(
    document: str, block: Block, answer: Block, client: Client, order: None
) -> None:
    names = dict(vars(documents_site.site(document)))
    exec(compile(block.text, document, "exec"), names)
    dashboard: type[ProgressiveView] = names["Dashboard"]
    view: Any = type("Wrong", (dashboard,), {"get_parts": names["get_parts"]})
    urls: Any = ModuleType("wrong_urls")
    urls.urlpatterns = [path("wrong/", view.as_view())]

    with override_settings(ROOT_URLCONF=urls, DEBUG=True):
        found = client.get("/wrong/").json()

    [error] = found.get("errors", [found])
    assert error["detail"] + "\n" == answer.text
    assert error["status"] == 500


@pytest.mark.parametrize("document", SITES)
@pytest.mark.django_db(transaction=True)
def test_the_test_cases_pass(document: str, settings: Any) -> None:
    module = documents_site.site(document)
    settings.ROOT_URLCONF = module
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)

    assert suite.countTestCases() > 0
    assert result.wasSuccessful(), [*result.errors, *result.failures]
    connection.close()


@pytest.mark.parametrize("document", SITES)
def test_the_settings_are_known_and_the_defaults_are_right(document: str) -> None:
    shown = getattr(documents_site.site(document), "PARTSTREAM", {})

    with override_settings(PARTSTREAM=shown):
        taken = conf.current()

    for name in shown.keys() - {"THREADS"}:
        assert getattr(taken, name.lower()) == getattr(conf.Settings(), name.lower())


@pytest.mark.parametrize("document", SITES)
def test_every_block_is_run(document: str) -> None:
    found = documents.blocks(document)
    followed = {"python wrong": "text", "sh": "json", "js": "text"}

    for block, after in zip(found, [*found[1:], None], strict=True):
        assert block.kind in KINDS, block

        if block.kind in followed:
            assert after is not None
            assert after.kind == followed[block.kind], block


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")

    for link in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert (
            link.startswith("http") or (ROOT / document).parent.joinpath(link).exists()
        ), link
