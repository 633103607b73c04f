"""The documents' curl commands over HTTP, to servers of both kinds, with jobs that run
there by themselves."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from asgi_example import ports
from asgi_example.processes import Site
from tests.app.models import Account, Contract, Status
from tests.settings import ROOT

from .rows import BASE, CREATE_CSV, TWO, UPDATE_CSV, stored

pytestmark = pytest.mark.django_db(transaction=True)

URL = f"{BASE}operations/"
SERVERS = {
    "uvicorn": (
        *("-m", "uvicorn", "tests.compat.application:asgi"),
        *("--host", ports.HOST, "--port"),
    ),
    "gunicorn": (
        *("-m", "gunicorn", "tests.compat.application:wsgi", "--threads", "2"),
        "--bind",
    ),
}
READY = {"uvicorn": "Uvicorn running", "gunicorn": "Listening at"}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    port = ports.free_port()
    address = f"{ports.HOST}:{port}" if request.param == "gunicorn" else str(port)

    with Site() as site:
        site.start(
            request.param, [sys.executable, *SERVERS[request.param], address], cwd=ROOT
        ).wait_until_logged(READY[request.param], seconds=60)

        with httpx.Client(base_url=f"http://{ports.HOST}:{port}", timeout=30) as client:
            yield client


@pytest.fixture
def ledger(db: None) -> None:
    for number in (1, 2):
        Account.objects.create(pk=number, name=f"account {number}")
        Status.objects.create(pk=number, code=f"state-{number}")


def ended(server: httpx.Client, response: httpx.Response) -> Any:
    """The status of this answer's job, which some thread of the server works on."""
    assert response.status_code == 202, response.text
    until = time.monotonic() + 90

    while time.monotonic() < until:
        status = server.get(
            response.json()["status_url"], headers={"Prefer": "wait=5"}
        ).json()

        if status["state"] in ("SUCCESS", "FAILURE"):
            return status

    raise AssertionError(status)


def curl_file(server: httpx.Client, method: str, data: bytes) -> httpx.Response:
    """`curl -X … -F file=@….csv`."""
    return server.request(method, URL, files={"file": ("rows.csv", data, "text/csv")})


@pytest.mark.usefixtures("ledger")
def test_the_files_of_the_documents_one_after_the_other(server: httpx.Client) -> None:
    created = ended(server, curl_file(server, "POST", CREATE_CSV))
    ids = created["result"]["created_ids"]
    head, *lines = UPDATE_CSV.splitlines()
    rest = [line.partition(b",")[2] for line in lines]
    changed = [b"%d,%s" % pair for pair in zip(ids, rest, strict=True)]
    update = b"\n".join([head, *changed, b""])
    delete = b"id\n" + b"".join(b"%d\n" % pk for pk in ids)

    updated = ended(server, curl_file(server, "PATCH", update))
    after = [(amount, text) for _, amount, text in stored()]
    deleted = ended(server, curl_file(server, "DELETE", delete))

    assert created["result"]["success_count"] == 3
    assert updated["result"]["updated_count"] == 3
    assert after == [
        ("150.00", "Updated Transaction 1"),
        ("-25.75", "Updated Transaction 2"),
        ("75.50", "Transaction 3"),
    ]
    assert deleted["result"]["deleted_ids"] == ids
    assert stored() == []


@pytest.mark.usefixtures("ledger")
def test_rows_and_then_filters_in_the_body_of_a_get(server: httpx.Client) -> None:
    ended(server, server.post(URL, json=TWO))
    asked = {"filters": {"amount": {"gte": 100}, "financial_account": 1}}

    got = server.request("GET", URL, json=asked)
    posted = server.post(f"{URL}query/", json=asked)

    assert [row["amount"] for row in got.json()["results"]] == ["100.50"]
    assert posted.json() == got.json()


def test_a_large_set_by_a_job_and_as_a_stream(server: httpx.Client) -> None:
    Contract.objects.bulk_create(
        Contract(number=f"C{n:05}", year=n % 100) for n in range(5000)
    )
    url = "/api/contracts/operations/"

    accepted = server.get(url)
    status = ended(server, accepted)
    file = server.get(accepted.json()["results_url"])
    pieces = []

    with server.stream("GET", url, headers={"accept": "application/x-ndjson"}) as lines:
        pieces = [*lines.iter_lines()]

    assert status["result"]["success_count"] == 5000
    assert file.text.splitlines() == pieces
    assert [json.loads(line)["number"] for line in (pieces[0], pieces[-1])] == [
        "C00000",
        "C04999",
    ]
