"""Rows of a finished job, run again as a job of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_partstream import retries
from django_partstream.jobs import states
from django_partstream.models import Job, State
from tests.app.models import Contract
from tests.jobs.conftest import Run
from tests.jobs.work import make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

CSV = (
    "number,year,amount\n"
    "C1,2024,1.50\n"
    "TAKEN,2024,2.50\n"
    '"=C3",2024,\n'
    "\n"
    '"TAKEN\n2",2024,3.50\n'
    "C5,never,4.50\n"
    "C6,2024,5.50,too many\n"
    "C7,2024,6.50\n"
)


@pytest.fixture
def ann(client: Client) -> Any:
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)

    return user


def send(client: Client, body: str, query: str = "") -> Job:
    response = client.post(
        f"/api/contracts/{query}",
        body,
        content_type="application/json" if body.startswith("[") else "text/csv",
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.content

    return states.jobs().get(pk=response.json()["task_id"])


def again(client: Client, job: Job, outcome: str = "") -> Any:
    query = outcome and f"?outcome={outcome}"

    return client.post(f"/api/operations/{job.pk}/retry/{query}")


def failed(client: Client, job: Job) -> list[tuple[int, int | None, Any, str]]:
    response: Any = client.get(f"/api/operations/{job.pk}/results/")
    lines = b"".join(response.streaming_content).splitlines()

    return [
        (row["row"], row["line"], row["data"], row["errors"][0]["code"])
        for row in map(json.loads, lines)
    ]


def rows_of(client: Client, job: Job, outcome: str) -> list[int]:
    response: Any = client.get(f"/api/operations/{job.pk}/results/?outcome={outcome}")

    return [
        json.loads(line)["row"]
        for line in b"".join(response.streaming_content).splitlines()
    ]


def test_failed_rows_are_run_again_under_their_numbers(
    client: Client, ann: Any, run: Run
) -> None:
    Contract.objects.create(number="TAKEN", year=2020)
    Contract.objects.create(number="TAKEN\n2", year=2020)
    job = send(client, CSV)
    run(job)
    before = failed(client, job)
    assert [(row, line, code) for row, line, _, code in before] == [
        (2, 3, "unique"),
        (4, 6, "unique"),
        (5, 8, "invalid"),
        (6, 9, "ragged_row"),
    ]
    Contract.objects.filter(number="TAKEN\n2").delete()

    response = again(client, job)

    assert response.status_code == 202
    assert response.json()["total_items"] == 4
    new = states.jobs().get(pk=response.json()["task_id"])
    assert response["Location"] == f"/api/operations/{new.pk}/status/"
    assert (new.retry_of_id, new.owner_id, new.kind) == (job.pk, ann.pk, job.kind)
    run(new)
    new.refresh_from_db()
    assert (new.state, new.created, new.failed) == (State.SUCCESS, 1, 3)
    assert failed(client, new) == [row for row in before if row[0] != 4]
    assert rows_of(client, new, "successful") == [4]
    assert rows_of(client, new, "unprocessed") == []
    # The first one is as it was.
    job.refresh_from_db()
    assert (job.state, job.failed) == (State.SUCCESS, 4)
    assert failed(client, job) == before
    # And a retry is a job like others.
    Contract.objects.filter(number="TAKEN").delete()
    third = retries.retry(new)
    run(third)
    assert [row for row, *_ in failed(client, third)] == [5, 6]


def test_unprocessed_rows_are_run_where_the_job_was_stopped(
    client: Client, ann: Any, run: Run
) -> None:
    body = json.dumps(
        [{"number": f"C{n}", "year": 2024 if n % 3 else "never"} for n in range(1, 11)]
    )
    job = send(client, body, "?max_errors=1")
    run(job)
    job.refresh_from_db()
    assert (job.state, job.current, job.failed) == (State.FAILURE, 6, 2)
    assert job.message == (
        "The job was stopped after 6 rows: 2 rows have failed, and max_errors allows "
        "1. The others of these are written; 4 rows were not processed."
    )
    assert rows_of(client, job, "unprocessed") == [7, 8, 9, 10]

    response = again(client, job, "unprocessed")

    new = states.jobs().get(pk=response.json()["task_id"])
    assert new.total == 4
    run(new)
    new.refresh_from_db()
    assert (new.state, new.current, new.created, new.failed) == ("SUCCESS", 4, 3, 1)
    assert rows_of(client, new, "failed") == [9]
    assert rows_of(client, new, "successful") == [7, 8, 10]
    assert Contract.objects.count() == 7


@pytest.mark.parametrize("body", ["number,year\nC1,2024\nC2,2024\nC3,2024\n"])
def test_a_cancelled_job_goes_on_as_another(
    client: Client, ann: Any, run: Run, body: str
) -> None:
    job = send(client, body)
    states.cancel(job.pk)

    new = states.jobs().get(pk=again(client, job, "unprocessed").json()["task_id"])

    run(new)
    assert sorted(Contract.objects.values_list("number", flat=True)) == [
        "C1",
        "C2",
        "C3",
    ]


def test_what_cannot_be_run_again_says_so(client: Client, ann: Any, run: Run) -> None:
    job = send(client, "number,year\nC1,2024\n")

    assert again(client, job).json()["code"] == "job_unfinished"

    run(job)
    response = again(client, job)
    assert (response.status_code, response.json()["code"]) == (409, "nothing_to_retry")
    assert response.json()["detail"] == "The job has no failed rows."
    response = again(client, job, "successful")
    assert response.status_code == 400
    assert response.json()["detail"] == (
        "outcome is 'successful'; expected one of 'failed', 'unprocessed'."
    )
    other = make_job(14, owner=ann)
    run(other)
    assert again(client, other).json()["detail"] == (
        "A job of kind 'test_groups' keeps no rows that could be run again."
    )


def test_a_retry_that_comes_twice_runs_once(client: Client, ann: Any, run: Run) -> None:
    job = send(client, CSV)
    run(job)

    def ask(**query: str) -> Any:
        return client.post(
            f"/api/operations/{job.pk}/retry/",
            query_params=query,
            headers={"Idempotency-Key": "1"},
        )

    first, second = ask(), ask()

    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert job.retries.count() == 1
    assert ask(outcome="unprocessed").status_code == 422


def test_another_users_job_cannot_be_run_again(
    client: Client, ann: Any, run: Run
) -> None:
    job = send(client, "number,year\nC1,never\n")
    run(job)
    client.force_login(get_user_model().objects.create_user("bob"))

    assert again(client, job).status_code == 404
    assert states.jobs().count() == 1


@pytest.mark.parametrize(
    ("given", "limit"),
    [("0", 0), ("7", 7), ("10%", 1), ("2.5%", 0), ("29%", 2), ("100%", 10)],
)
def test_max_errors_are_rows_or_a_part_of_them(
    client: Client, given: str, limit: int
) -> None:
    body = "number,year\n" + "".join(f"C{n},2024\n" for n in range(10))

    job = send(client, body, f"?max_errors={given.replace('%', '%25')}")

    assert job.spec["max_errors"] == limit


@pytest.mark.parametrize("given", ["", "many", "-1", "1.5", "101%", "100.1%", "%"])
def test_other_max_errors_are_refused(client: Client, given: str) -> None:
    response = client.post(
        f"/api/contracts/?max_errors={given.replace('%', '%25')}",
        "number,year\nC1,2024\n",
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )

    assert response.status_code == 400
    assert response.json()["detail"] == (
        f"max_errors is {given!r}; expected how many rows may fail, such as '100', or "
        "how many of a hundred, such as '2.5%'."
    )
    assert not states.jobs().exists()
