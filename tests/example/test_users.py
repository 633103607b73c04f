"""The example with users on, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from asgi_example.ports import free_port
from asgi_example.processes import Site

from .flights import FLIGHTS, HEADER, ROOT, ROWS, pages

if TYPE_CHECKING:
    from collections.abc import Iterator


APPLICATION = "asgi_example.asgi:application"
#: What the demo runs as commands, in one process.
PREPARE = """
import django
from django.core.management import call_command

django.setup()

for command in ("migrate", "load_reference", "seed_users"):
    call_command(command)
"""


@pytest.fixture(scope="module")
def full_demo() -> Iterator[str]:
    """Its address. SQLite and embedded jobs, so that it needs no servers."""
    with Site() as site:
        environment = {
            **{key: value for key, value in os.environ.items() if key[:5] != "DEMO_"},
            "DJANGO_SETTINGS_MODULE": "asgi_example.settings",
            "DEMO_FULL": "1",
            "DEMO_DB_PATH": str(site.directory / "demo.sqlite3"),
        }

        subprocess.run(
            [sys.executable, "-c", PREPARE],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )

        port = str(free_port())
        server = site.start(
            "server",
            [sys.executable, "-m", "uvicorn", APPLICATION, "--port", port],
            cwd=ROOT,
            environment=environment,
        )
        server.wait_until_logged("Uvicorn running on", seconds=60)
        yield f"http://127.0.0.1:{port}"
        assert "Traceback" not in server.output()


@pytest.fixture
def visitor(full_demo) -> Iterator[httpx.Client]:
    """Somebody who is not logged in."""
    with httpx.Client(base_url=full_demo, timeout=60) as client:
        yield client


@pytest.fixture
def ann(full_demo) -> Iterator[httpx.Client]:
    """Logged in by the form, as a browser does."""
    with httpx.Client(base_url=full_demo, timeout=60) as client:
        answer = log_in(client, "ann", "ann-demo")
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
        yield client


@pytest.fixture
def bob(full_demo) -> Iterator[httpx.Client]:
    """Known by his token, as a program is."""
    with httpx.Client(base_url=full_demo, timeout=60) as client:
        login = {"username": "bob", "password": "bob-demo"}
        token = client.post("/api/token/", data=login).json()["token"]
        client.headers["Authorization"] = f"Token {token}"
        yield client


def log_in(client: httpx.Client, name: str, password: str) -> httpx.Response:
    client.get("/accounts/login/")
    return client.post(
        "/accounts/login/",
        data={
            "username": name,
            "password": password,
            "next": "/",
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        },
    )


def csrf(client: httpx.Client) -> dict[str, str]:
    return {"X-CSRFToken": client.cookies["csrftoken"]}


def submit(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post(
        FLIGHTS,
        content=HEADER + b"".join(ROWS),
        headers={"Content-Type": "text/csv", "Prefer": "respond-async", **headers},
    )


def frames(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    with client.stream("GET", url, headers={"Accept": "application/x-ndjson"}) as lines:
        assert lines.status_code == 200
        return [json.loads(line) for line in lines.iter_lines()]


@pytest.mark.parametrize(
    "url", ["/api/flights/", "/api/airports/", "/api/dashboard/", "/api/operations/"]
)
def test_nobody_sees_anything_without_a_name(visitor, url):
    answer = visitor.get(url)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Token"


def test_page_is_there_for_everybody(visitor):
    page = visitor.get("/")
    session = visitor.get("/api/session/")

    assert page.status_code == 200
    assert session.json() == {
        "full": True,
        "user": None,
        "login_url": "/accounts/login/",
        "logout_url": "/accounts/logout/",
    }
    assert "csrftoken" in session.cookies


def test_wrong_password_is_told_and_lets_nobody_in(visitor):
    answer = log_in(visitor, "ann", "guessed")

    assert answer.status_code == 200
    assert "Please enter a correct username and password." in answer.text
    assert visitor.get("/api/session/").json()["user"] is None


def test_login_ends_with_a_logout(ann):
    before = ann.get("/api/session/").json()
    answer = ann.post(before["logout_url"], headers=csrf(ann))

    assert before["user"] == "ann"
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert ann.get("/api/session/").json()["user"] is None
    assert ann.get("/api/flights/").status_code == 401


def test_upload_that_another_site_could_forge_is_refused(ann):
    answer = submit(ann)

    assert answer.status_code == 403
    assert ann.get("/api/flights/").status_code == 200


def test_objects_of_a_logged_in_browser_are_read_as_of_anybody(ann):
    broken = ann.post(
        FLIGHTS,
        content=b'[{"year": 2013}, {"ye',
        headers={"Content-Type": "application/json", **csrf(ann)},
    )

    assert broken.status_code == 400
    assert broken.headers["Content-Type"] == "application/problem+json"
    assert broken.json()["code"] == "invalid_json"


def test_job_belongs_to_whoever_sent_it(ann, bob):
    accepted = submit(ann, **csrf(ann))
    job = accepted.json()
    followed = frames(ann, job["events_url"])
    hidden = [
        bob.get(job["status_url"]),
        bob.get(job["events_url"]),
        bob.get(job["results_url"]),
        bob.delete(job["status_url"]),
    ]

    assert accepted.status_code == 202
    assert followed[-2]["state"] == "SUCCESS"
    assert followed[-2]["result"]["success_count"] == 4
    assert [answer.status_code for answer in hidden] == [404] * 4
    assert {answer.json()["code"] for answer in hidden} == {"not_found"}
    mine = ann.get("/api/operations/").json()["results"]
    assert job["task_id"] in {entry["task_id"] for entry in mine}
    assert bob.get("/api/operations/").json() == {"count": 0, "results": []}
    assert bob.get("/api/flights/").json()["count"] == 4


def test_dashboard_streams_what_its_pages_hold(ann, bob):
    frames(ann, submit(ann, **csrf(ann)).json()["events_url"])

    streamed = frames(bob, "/api/dashboard/")
    paged = list(pages(bob, "/api/dashboard/"))

    assert {
        frame["name"]: frame["data"] for frame in streamed if frame["type"] == "part"
    } == {
        name: data
        for page in paged
        for part in page["results"]
        for name, data in part.items()
    }
    assert streamed[-1]["reason"] == "complete"
    assert streamed[-1]["ok"] == 6
