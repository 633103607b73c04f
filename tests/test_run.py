"""What `make test` makes of a test that fails."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.run import Step, execute

if TYPE_CHECKING:
    from pathlib import Path

FAILS_ONCE = """
from pathlib import Path

def test_good():
    pass

def test_of_luck():
    before = Path(__file__).with_name("before")
    assert before.exists() or before.touch()
"""
FAILS = """
def test_bad():
    assert 1 == 2
"""
ALL_FAIL_ONCE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(4))
def test_of_luck(number):
    before = Path(__file__).with_name(f"before-{number}")
    assert before.exists() or before.touch()
"""


def run(
    directory: Path, text: str, *, is_pytest: bool = True, tries: int = 2
) -> tuple[int, str, str]:
    (directory / "test_it.py").write_text(text)
    (directory / "pytest.ini").write_text("[pytest]\n")
    notes = directory / "notes"
    notes.touch()
    command = [sys.executable, "-m", "pytest", f"--rootdir={directory}", "-c"]
    command += [str(directory / "pytest.ini"), str(directory / "test_it.py")]
    step = Step(name="luck", command=command, is_pytest=is_pytest)
    code, said = execute(step, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, notes, tries)

    return code, said, notes.read_text()


def test_one_that_passes_when_run_again_is_named(tmp_path: Path) -> None:
    code, said, notes = run(tmp_path, FAILS_ONCE)

    assert code == 0
    assert "1 failed, 1 passed" in said
    assert "1 passed" in said.rpartition("1 failed, 1 passed")[2]
    assert notes == "passed at the second try only: test_it.py::test_of_luck\n"


def test_one_that_fails_again_fails_the_step(tmp_path: Path) -> None:
    code, said, notes = run(tmp_path, FAILS)

    assert code == 1
    assert said.count("1 failed in") == 2
    assert notes == ""


def test_many_are_not_run_again(tmp_path: Path) -> None:
    code, said, notes = run(tmp_path, ALL_FAIL_ONCE)

    assert code == 1
    assert said.count("4 failed in") == 1
    assert notes == ""


@pytest.mark.parametrize(("is_pytest", "tries"), [(True, 1), (False, 2)])
def test_nothing_is_run_again_where_that_is_not_wanted(
    tmp_path: Path, *, is_pytest: bool, tries: int
) -> None:
    code, said, notes = run(tmp_path, FAILS_ONCE, is_pytest=is_pytest, tries=tries)

    assert code == 1
    assert "1 failed, 1 passed" in said
    assert notes == ""
