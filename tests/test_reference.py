"""The reference names everything that there is, and nothing else."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import django_partstream
from django_partstream import errors, urls
from django_partstream.frames import Frame

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ROOT / "src/django_partstream/management/commands"

#: Modules of which all is public, beside the package's root.
PUBLIC = ("cache", "mixins", "serializers", "signals", "testing")

#: Of parts, and of what nobody expected: no exceptions of ours.
OTHER_CODES = {"failed", "gone"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def first_cells(text: str) -> set[str]:
    """What the first column of the tables names, in code."""
    return set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))


def subclasses(cls: type) -> set[type]:
    below: list[type] = cls.__subclasses__()

    return {cls}.union(*(subclasses(sub) for sub in below))


def test_every_public_name_is_in_the_reference() -> None:
    text = page("python.md")

    for name in django_partstream.__all__:
        assert re.search(rf":: {name}$", text, re.MULTILINE), name

    for module in PUBLIC:
        name = f"django_partstream.{module}"

        if importlib.util.find_spec(name) is not None:
            assert f"## {name}" in text, name


def test_every_code_of_an_error_is_in_the_reference() -> None:
    codes = {
        cls.code: cls.status  # type: ignore[attr-defined]
        for cls in subclasses(errors.PartstreamError)
        if cls.__module__ == errors.__name__
    }
    shown = dict(
        re.findall(r"^\| `(\w+)` \| (\d+) \|", page("errors.md"), re.MULTILINE)
    )

    for code, status in codes.items():
        if code in ("timeout", "unencodable", "invalid_plan"):
            assert f"`{code}`" in page("errors.md")
        else:
            assert shown.pop(code, None) == str(status), code

    assert not shown, "no error has these codes"


def test_every_command_is_in_the_reference() -> None:
    commands = {path.stem for path in COMMANDS.glob("partstream_*.py")}
    shown = {
        name.split()[1]
        for name in first_cells(page("commands.md"))
        if name.startswith("manage.py partstream_")
    }

    assert shown == commands


def test_every_name_of_the_javascript_is_in_the_reference() -> None:
    sections = dict(
        section.split("\n", 1) for section in page("javascript.md").split("\n## ")[1:]
    )
    exported = r"^export (?:async )?(?:function\*?|class) (\w+)|^export \{ \w+ as (\w+)"

    for title, modules in (
        ("partstream.js", ["partstream"]),
        ("react.js, vue.js", ["react", "vue"]),
    ):
        shown = {name.partition("(")[0] for name in first_cells(sections[title])}

        for module in modules:
            source = (ROOT / "src/client" / f"{module}.ts").read_text()
            found = re.findall(exported, source, re.MULTILINE)
            assert shown == {one or other for one, other in found}, module


def test_every_member_of_the_javascript_is_in_the_reference() -> None:
    sections = dict(
        section.split("\n", 1) for section in page("javascript.md").split("\n## ")[1:]
    )
    types = (ROOT / "src/client/types.ts").read_text()
    interfaces = dict(
        re.findall(
            r"^export interface (\w+)[^{\n]*\{\n(.*?)^\}",
            types,
            re.MULTILINE | re.DOTALL,
        )
    )
    documented = {title: interfaces[title] for title in sections if title in interfaces}

    assert len(documented) == len(sections) - 2

    for title, body in documented.items():
        members = set(re.findall(r"^  (\w+)(?:\??:|\()", body, re.MULTILINE))
        shown = {name.partition("(")[0] for name in first_cells(sections[title])}
        assert shown == members, title


def test_every_address_of_jobs_is_in_the_reference() -> None:
    addresses = {
        re.sub(r"<uuid:job_id>", "{id}", str(one.pattern)) for one in urls.urlpatterns
    }
    section = page("http.md").split("\n## Jobs\n")[1]
    shown = set(re.findall(r"(?:GET|POST|DELETE) ([^\s`]+)`", section))

    assert shown == addresses


def test_every_type_of_frame_is_in_the_reference() -> None:
    section = page("protocol.md").split("## Frames")[1].split("## Pages")[0]
    types = {cls.__name__.lower() for cls in Frame.__args__}

    assert first_cells(section) == types


def test_every_page_is_reached_from_the_index() -> None:
    index = page("index.md")
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    listed = set(
        re.findall(
            r"^([a-z-]+)$", "".join(index.split("```{toctree}")[1:]), re.MULTILINE
        )
    )

    assert listed == pages


@pytest.mark.full
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going"),
            *("-q", "-d", str(tmp_path / "doctrees"), "docs", str(tmp_path / "pages")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pages" / "index.html").exists()
