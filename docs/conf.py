"""How `make docs` builds these pages."""

from __future__ import annotations

import itertools
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.conf import settings
from pygments.lexers.special import TextLexer

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

if TYPE_CHECKING:
    from sphinx.application import Sphinx

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_partstream",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SECRET_KEY="docs",
    USE_TZ=True,
)
django.setup()

project = "django-partstream"
author = "the django-partstream authors"
copyright = "2026, the django-partstream authors"  # noqa: A001 - its name
version = release = metadata.version("django-partstream")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinxcontrib.mermaid",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["attrs_block", "deflist"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_title = "django-partstream"
html_static_path: list[str] = []
# Diagrams stay text in what is built; the browser draws them where it can.
mermaid_output_format = "raw"

nitpicky = False
# GitHub shows these pages too: links to files outside docs/ are for it.
suppress_warnings = ["myst.xref_missing"]


def read_our_docstrings(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """They are Markdown, as in the pages: `code`, and blocks that are indented."""
    found = list(lines)
    lines.clear()

    for before, line in itertools.pairwise(["", *found]):
        begins = line.startswith("    ") and not before.startswith("    ")

        # A blank line may stand between the lines of one block.
        goes_on = any(old.startswith("    ") for old in lines[-2:-1])

        if begins and not goes_on and (not before or before.endswith(":")):
            lines += ["", ".. code-block:: python", ""]

        if not line.startswith(("    ", "-")) and before.startswith("    "):
            lines.append("")

        code = line.startswith("    ")
        lines.append(line if code else re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line))


def setup(app: Sphinx) -> None:
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", read_our_docstrings)
