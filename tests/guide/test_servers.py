"""The guide's loops in JavaScript, run by node against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_example import ports
from asgi_example.processes import Site
from tests.npm import NODE

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPS = Path(__file__).resolve().parent / "loops"

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shop")]


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    port = ports.free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.guide.application:application"]

    with Site() as site:
        process = site.start(
            "uvicorn",
            [*command, "--host", ports.HOST, "--port", str(port)],
            cwd=ROOT,
        )
        process.wait_until_logged("Uvicorn running", seconds=60)

        yield f"http://{ports.HOST}:{port}"


def run(name: str, origin: str) -> dict[str, Any]:
    done = subprocess.run(
        [NODE, LOOPS / "run.mjs", name, origin],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    found: dict[str, Any] = json.loads(done.stdout)

    return found


def is_dashboard(parts: list[dict[str, Any]]) -> bool:
    """The three parts of the dashboard, in declared order, with the rows there are."""
    overview, orders, analytics = parts

    return (
        overview["overview"]["customers"] == 2
        and [order["total"] for order in orders["orders"]]
        == ["10.00", "20.00", "30.00"]
        and analytics == {"analytics": {"revenue": 60, "orders_per_customer": 1.5}}
    )


TWO_PAGES = ["/api/dashboard/", "/api/dashboard/?cursor=…"]


def test_the_plain_loop(origin: str) -> None:
    found = run("plain", origin)

    assert is_dashboard(found["result"])
    assert found["requests"] == TWO_PAGES


def test_the_loader_class_and_its_component(origin: str) -> None:
    found = run("loader", origin)

    assert is_dashboard(found["result"]["loaded"])
    assert is_dashboard(found["result"]["component"])
    assert found["result"]["progress"] == [[2, True], [3, False]]
    assert found["result"]["renders"] == [
        [0, False],
        [0, True],
        [2, True],
        [3, True],
        [3, False],
    ]
    assert found["requests"] == TWO_PAGES * 2


def test_the_component_in_vues_form(origin: str) -> None:
    found = run("vue", origin)

    assert is_dashboard(found["result"]["parts"])
    assert found["result"]["loading"] == [True, False]
    assert found["requests"] == TWO_PAGES


def test_the_loop_with_nothing_but_the_dom(origin: str) -> None:
    found = run("dom", origin)

    assert is_dashboard([box["part"] for box in found["result"]])
    assert {(box["tag"], box["className"]) for box in found["result"]} == {
        ("div", "part")
    }
    assert found["requests"] == TWO_PAGES


def test_the_first_answer_comes_before_what_is_slow(origin: str) -> None:
    answered = []

    with httpx.Client(base_url=origin, timeout=60) as client:
        client.get("/api/slow/?parts=orders")  # the first connection to the database

        # A machine may stand still for a moment, but not each time.
        for _ in range(3):
            started = time.monotonic()
            first = client.get("/api/slow/").json()
            answered.append(time.monotonic() - started)

        second = client.get(f"/api/slow/?cursor={first['cursor']}").json()
        started = time.monotonic()
        whole = client.get("/api/slow-plain/").json()
        plain = time.monotonic() - started

    assert [*first["results"], *second["results"]] == [
        {"orders": whole["orders"]},
        {"analytics": whole["analytics"]},
    ]
    assert min(answered) < plain
    assert plain >= 0.5
