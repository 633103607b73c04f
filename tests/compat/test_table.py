"""`docs/migrating.md`: its table of snippets is whole, its tests are there, its Python
runs, its settings are those that there are."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from django_partstream import conf, legacy, mixins
from django_partstream.models import Job
from django_partstream.signals import job_progressed
from tests import documents
from tests.guide.test_table import ROWS as GUIDE

from .asking import run
from .snippets import DOCUMENTS

DOCUMENT = "docs/migrating.md"
TEXT = (documents.ROOT / DOCUMENT).read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (`.+?`) \| ?(.*?) ?\|$", re.MULTILINE)


def section(document: str) -> str:
    _, _, rest = TEXT.partition(f"### {document}\n")

    return rest.partition("\n### ")[0]


def rows(document: str) -> list[tuple[str, str, str, str]]:
    return ROW.findall(section(document))


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_snippet_of_a_document_has_its_row(document: str) -> None:
    shown = [(int(number), title) for number, title, _, _ in rows(document)]

    assert shown == [*enumerate(DOCUMENTS[document], start=1)]


def test_the_documents_have_as_many_snippets_as_were_counted() -> None:
    assert {name: len(titles) for name, titles in DOCUMENTS.items()} == {
        "django-bulk-drf 0.1.4": 30,
        "django-bulk-drf 0.2": 13,
        "django-drf-extensions": 33,
        "django-partstream, readme": 10,
        "django-partstream, guide": 29,
    }


NAMED = sorted(
    {name for doc in DOCUMENTS for row in rows(doc) for name in names_in(row[2])}
)


@pytest.mark.parametrize("name", NAMED)
def test_the_test_of_a_snippet_is_there(name: str) -> None:
    module, _, names = name.partition(".")
    found = importlib.import_module("tests." + module.replace("/", "."))

    assert callable(functools.reduce(getattr, names.split("."), found))


@pytest.mark.parametrize(
    ("document", "short"),
    [("django-partstream, readme", "readme"), ("django-partstream, guide", "guide")],
)
def test_the_guides_own_table_says_the_same(document: str, short: str) -> None:
    for number, _, cell, _ in rows(document):
        expected = {
            test if test.startswith("test_package") else f"guide/{test}"
            for snippet, test in GUIDE
            if re.split("[:,]", snippet)[0] == f"{short} {number}"
        }

        assert {*names_in(cell)} == expected


def test_every_old_setting_and_its_successor_is_listed() -> None:
    table = TEXT.partition("## Settings\n")[2].partition("\n## ")[0]
    listed = {
        old: second
        for first, second in re.findall(
            r"^\| (`.+?`) \| (.+?) \|$", table, re.MULTILINE
        )
        for old in names_in(first)
        if "…" not in old
    }

    assert listed.keys() == legacy.OLD.keys()

    for name, old in legacy.OLD.items():
        if old.key is not None:
            assert f"`{old.key}`" in listed[name]
            assert old.key in conf.NAMES


def test_every_mixin_is_named() -> None:
    assert [name for name in mixins.__all__ if f"`{name}`" not in TEXT] == [
        "AsyncOperationsMixin",
        "SyncUpsertMixin",
    ]
    assert "import AsyncOperationsMixin, SyncUpsertMixin`" in TEXT


def test_every_import_that_is_shown_works() -> None:
    shown = re.findall(r"`from (django_partstream[\w.]*) import ([\w, ]+)`", TEXT)

    assert shown

    for module, names in shown:
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), (module, name)


@pytest.mark.django_db
def test_the_python_of_the_document_runs(client: Client) -> None:
    percentages: list[float] = []
    module = documents.run_python(DOCUMENT, PERCENTAGES=percentages)

    try:
        job = module.start(None)

        class Answer:
            status_code = 202

            @staticmethod
            def json() -> Any:
                return {"task_id": str(job.pk)}

        run(Answer)
    finally:
        job_progressed.disconnect(module.keep, sender=Job)

    assert {*module.INSTALLED_APPS} <= {
        config.name for config in apps.get_app_configs()
    }
    assert client.get(f"/api/operations/{job.pk}/status/").json()["state"] == "SUCCESS"
    assert percentages[-1] == 100.0
