"""The table of snippets names tests that are there."""

from __future__ import annotations

import functools
import importlib
import re

import pytest

from tests import guide

ROWS = re.findall(
    r"^\| (.+?) +\| (?:\.\./)?([\w.]+) +\|$", guide.__doc__ or "", re.MULTILINE
)


@pytest.mark.parametrize(("snippet", "test"), ROWS)
def test_a_snippet_has_its_test(snippet: str, test: str) -> None:
    module, _, names = test.partition(".")
    folder = "tests" if module == "test_package" else "tests.guide"
    found = importlib.import_module(f"{folder}.{module}")

    assert callable(functools.reduce(getattr, names.split("."), found))


def test_all_snippets_are_there() -> None:
    numbers = {re.split("[:,]", snippet)[0] for snippet, _ in ROWS}

    assert numbers == {
        *(f"readme {number}" for number in range(1, 11)),
        *(f"guide {number}" for number in range(1, 30)),
    }
