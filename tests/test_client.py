"""The browser's client as it ships: made from its sources, small, typed; and the
vectors that every client has to follow."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import npm
from tests.parts.merging import merge

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "src/django_partstream/static/django_partstream"
VECTORS = ROOT / "tests/conformance"


def node(*arguments: str | Path) -> None:
    done = subprocess.run(
        [npm.NODE, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def cases(file: str) -> list[Any]:
    document = json.loads((VECTORS / file).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["name"]) for case in document["cases"]]


def test_client_is_smaller_than_5_kib_on_the_wire():
    body = (CLIENT / "partstream.js").read_bytes()

    assert len(gzip.compress(body, 9)) < 5 * 1024


def test_client_depends_on_nothing():
    assert "import" not in (CLIENT / "partstream.js").read_text()


@pytest.mark.usefixtures("npm_packages")
def test_what_ships_is_what_the_sources_make(tmp_path):
    node("src/client/build.mjs", tmp_path)

    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in CLIENT.iterdir()}, (
        "The sources of the client have changed: run `make client`."
    )


@pytest.mark.usefixtures("npm_packages")
def test_typescript_that_uses_the_client_compiles_strictly():
    node(npm.PACKAGES / "typescript/bin/tsc", "--project", "tests/js")


@pytest.mark.parametrize("case", cases("merge.json"))
def test_frames_come_to_what_the_vector_says(case):
    merged = merge(case["frames"])

    expected = case["merged"].items()
    assert merged.data == {
        name: part["data"] for name, part in expected if "data" in part
    }
    assert merged.errors == {
        name: part["error"]["code"] for name, part in expected if "error" in part
    }


@pytest.mark.parametrize("case", cases("ndjson.json"))
def test_bytes_are_the_frames_that_the_vector_says(case):
    body = b"".join(bytes.fromhex(chunk) for chunk in case["chunks"])

    frames = [json.loads(line) for line in body.split(b"\n") if line.strip()]

    assert [frame for frame in frames if frame["type"] != "ping"] == case["frames"]
