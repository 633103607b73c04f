"""The job views: whose jobs they show, and how."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client

from django_partstream.jobs import states
from django_partstream.models import Job
from tests.jobs.conftest import Run
from tests.jobs.work import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


def address(job: Job, name: str) -> str:
    return f"/api/operations/{job.pk}/{name}/"


def test_the_status_is_the_snapshot_with_its_addresses(
    client: Client, run: Run
) -> None:
    job = make_job(14)
    run(job)

    response = client.get(address(job, "status"))

    assert response.status_code == 200
    assert response.json()["state"] == "SUCCESS"
    assert response.json()["events_url"] == address(job, "events")
    assert response["ETag"] == f'"{response.json()["seq"]}"'
    assert "Retry-After" not in response


def test_an_unfinished_job_says_when_to_ask_again(client: Client) -> None:
    response = client.get(address(make_job(), "status"))

    assert response.json()["status"] == "pending"
    assert response["Retry-After"] == "1"


def test_the_older_address_is_the_same_status(client: Client) -> None:
    job = make_job()

    response = client.get(f"/api/bulk-operations/{job.pk}/status/")

    assert response.json()["task_id"] == str(job.pk)


@pytest.mark.parametrize("name", ["status", "events", "results"])
def test_another_users_job_is_not_there(
    client: Client, ann: Any, bob: Any, name: str
) -> None:
    job = make_job(owner=ann)
    client.force_login(bob)

    theirs = client.get(address(job, name))
    none = client.get(f"/api/operations/{uuid4()}/{name}/")

    assert theirs.status_code == none.status_code == 404
    assert theirs.content == none.content
    assert theirs.json()["detail"] == "There is no job with this id."
    client.logout()
    assert client.get(address(job, name)).status_code == 404
    client.force_login(ann)
    assert client.get(address(job, name)).status_code == 200


def test_another_user_cannot_cancel(client: Client, ann: Any, bob: Any) -> None:
    job = make_job(owner=ann)
    client.force_login(bob)

    assert client.delete(address(job, "status")).status_code == 404

    assert states.jobs().get(pk=job.pk).state == "PENDING"


def test_a_cancelled_job_says_so(client: Client, run: Run) -> None:
    job = make_job()

    response = client.delete(address(job, "status"))

    assert response.status_code == 200
    assert response.json()["state"] == "CANCELLED"
    assert client.delete(address(job, "status")).json()["state"] == "CANCELLED"


def test_the_list_has_the_callers_own_jobs(client: Client, ann: Any, bob: Any) -> None:
    make_job(owner=bob)
    make_job()
    job = make_job(owner=ann)
    client.force_login(ann)

    found = client.get("/api/operations/").json()

    assert [one["task_id"] for one in found["results"]] == [str(job.pk)]
    client.logout()
    assert client.get("/api/operations/").json() == {"count": 0, "results": []}


@pytest.mark.django_db(transaction=True)
async def test_the_events_are_a_stream(async_client: AsyncClient) -> None:
    job = await Job.objects.acreate(kind="x", state="CANCELLED")

    response = await async_client.get(
        address(job, "events"), headers={"Accept": "application/x-ndjson"}
    )
    frames = [json.loads(line) async for line in _lines(response)]

    assert [frame["type"] for frame in frames] == ["start", "progress", "end"]
    assert frames[1]["state"] == "CANCELLED"


async def _lines(response: Any) -> Any:
    body = b"".join([chunk async for chunk in response])

    for line in body.splitlines():
        yield line


def test_the_refused_rows_are_lines_in_input_order(client: Client, run: Run) -> None:
    job = make_job(35)
    run(job)

    response = client.get(address(job, "results") + "?outcome=failed")

    rows = [json.loads(line) for line in response.getvalue().splitlines()]
    assert [row["row"] for row in rows] == [7, 14, 21, 28, 35]
    assert list(rows[0]) == ["row", "line", "outcome", "pk", "data", "errors"]
    assert response["Content-Type"] == "application/x-ndjson"
    assert f'filename="failed-{job.pk}.ndjson"' in response["Content-Disposition"]


def test_the_refused_rows_are_a_file_that_a_spreadsheet_may_open(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(7, spec={"dialect": {"columns": ["n", "name"]}})
    run(job)
    batch = job.ledger.get()
    failure = {
        "row": 7,
        "line": 8,
        "outcome": "failed",
        "pk": None,
        "error": "name: too bad",
        "data": {"n": "-7", "name": '=HYPERLINK("x")'},
        "errors": [],
    }
    import zlib

    batch.failures = zlib.compress(json.dumps(failure).encode() + b"\n")
    batch.save()

    response = client.get(address(job, "results") + "?format=csv")

    rows = [*csv.DictReader(io.StringIO(response.getvalue().decode()))]
    assert rows == [
        {
            "n": "-7",
            "name": '\'=HYPERLINK("x")',
            "_row": "7",
            "_outcome": "failed",
            "_pk": "",
            "_errors": "name: too bad",
        }
    ]


def test_an_unknown_outcome_is_refused(client: Client) -> None:
    response = client.get(address(make_job(), "results") + "?outcome=lucky")

    assert response.status_code == 400
    assert response.json()["detail"] == (
        "outcome is 'lucky'; expected one of 'failed', 'successful', 'unprocessed'."
    )
