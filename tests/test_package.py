"""The package as an artefact: its names, its layers, its versions."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import django_partstream

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def modules() -> list[ModuleType]:
    names = [
        info.name
        for info in pkgutil.walk_packages(
            django_partstream.__path__, prefix="django_partstream."
        )
        if ".migrations" not in info.name and ".commands." not in info.name
    ]

    return [importlib.import_module(name) for name in names]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_every_module_says_what_is_public(module: ModuleType) -> None:
    if hasattr(module, "__path__"):
        return

    assert isinstance(module.__all__, tuple)

    for name in module.__all__:
        assert hasattr(module, name)


@pytest.mark.parametrize("name", django_partstream.__all__)
def test_the_public_names_are_there(name: str) -> None:
    assert getattr(django_partstream, name).__name__ == name
    assert name in dir(django_partstream)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        django_partstream.nothing  # noqa: B018


def test_the_package_is_imported_without_settings() -> None:
    code = (
        "import django_partstream, django_partstream.frames, django_partstream.errors"
    )

    subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=True,
        cwd=ROOT,
        env={"PATH": ""},
    )


#: What an extra brings, and what only the tests have.
NEIGHBOURS = (
    *("arq", "redis", "channels_redis", "prometheus_client", "drf_spectacular"),
    *("django_filters", "rich", "uvicorn", "psycopg", "pymysql", "httpx"),
    *("pytest", "hypothesis", "fastapi", "starlette"),
)


def test_the_package_needs_none_of_its_neighbours() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "bare.py", *NEIGHBOURS],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "modules imported, checked, migrated" in done.stdout


def test_the_data_flows_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_the_changelog_has_the_version() -> None:
    version = PROJECT["project"]["version"]

    assert re.search(
        rf"^## {re.escape(version)}\b",
        (ROOT / "CHANGELOG.md").read_text(),
        re.MULTILINE,
    )
