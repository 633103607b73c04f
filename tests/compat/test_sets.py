"""Many objects read: at once, by a job, as a stream."""

from __future__ import annotations

import csv
import io
import json
import zoneinfo
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from django_partstream.cache import OperationCache
from django_partstream.models import Job
from tests.app.models import Account, Contract

from .asking import ask, contracts, run, status_of
from .rows import BASE, store

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/contracts/operations/"
NDJSON = "application/x-ndjson"


def of_ids(rows: list[Contract]) -> str:
    return ",".join(str(row.pk) for row in rows)


def test_ninety_nine_are_answered_and_a_hundred_are_a_job(client: Client) -> None:
    rows = contracts(100)

    few = client.get(f"{URL}?ids={of_ids(rows[:99])}")
    many = client.get(f"{URL}?ids={of_ids(rows)}")

    assert few.status_code == 200
    assert few.json()["count"] == 99
    assert few.json()["operation_type"] == "multi_get"
    assert many.status_code == 202
    assert many.json()["message"] == "Get task started for 100 items"
    assert many.json()["is_async"] is True


def test_a_job_reads_in_the_order_that_was_asked_for(client: Client) -> None:
    rows = [*reversed(contracts(120))]
    response = client.get(f"{URL}?ids={of_ids(rows)},999999")

    status = status_of(client, response)
    lines = b"".join(client.get(response.json()["results_url"])).splitlines()
    missing = client.get(response.json()["results_url"] + "?outcome=failed")

    assert status["state"] == "SUCCESS"
    assert status["result"]["success_count"] == 120
    assert status["result"]["error_count"] == 1
    assert status["result"]["errors"][0]["error"] == (
        "There is no object with this primary key."
    )
    assert [json.loads(line)["number"] for line in lines] == [r.number for r in rows]
    assert [json.loads(line)["row"] for line in missing] == [121]


@pytest.mark.parametrize("by", ["ids", "all"])
def test_outcomes_and_retries_of_a_job_that_read(client: Client, by: str) -> None:
    rows = contracts(120)
    response = client.get(f"{URL}?ids={of_ids(rows)},999999" if by == "ids" else URL)
    run(response)
    Contract.objects.create(pk=999999, number="LATE", year=1)
    base = f"/api/operations/{response.json()['task_id']}"

    def lines(outcome: str) -> list[Any]:
        answer = client.get(f"{base}/results/?outcome={outcome}")
        assert answer.status_code == 200

        return [json.loads(line) for line in b"".join(answer).splitlines()]

    successful = lines("successful")
    retried = client.post(f"{base}/retry/")

    assert [line["pk"] for line in successful] == [row.pk for row in rows]
    assert lines("unprocessed") == []

    if by == "all":
        assert lines("failed") == []
        assert retried.status_code == 409
        assert retried.json()["code"] == "nothing_to_retry"
    else:
        assert [line["data"] for line in lines("failed")] == ["999999"]
        run(retried)
        file = b"".join(client.get(retried.json()["results_url"]))
        assert json.loads(file)["number"] == "LATE"


def test_what_a_job_has_read_is_a_csv_file_that_no_spreadsheet_runs(
    client: Client,
) -> None:
    contracts(99)
    Contract.objects.create(number="=1+1", year=1, amount="-5.00")
    response = client.get(URL)
    run(response)

    file = client.get(response.json()["results_url"], headers={"accept": "text/csv"})

    text = b"".join(file).decode()
    rows = [*csv.DictReader(io.StringIO(text))]
    assert [*rows[0]] == ["id", "number", "year", "amount", "account"]
    assert len(rows) == 100
    assert rows[-1]["number"] == "'=1+1"
    assert rows[-1]["amount"] == "-5.00"
    assert rows[-1]["account"] == ""
    assert file["Content-Disposition"].endswith('.csv"')


def test_a_stream_is_at_once_however_large(client: Client) -> None:
    contracts(250)

    response = client.get(URL, headers={"accept": NDJSON})

    assert response.status_code == 200
    assert response["Content-Type"] == NDJSON
    assert response["Cache-Control"] == "private, no-store"
    lines = b"".join(response).splitlines()
    assert len(lines) == 250
    assert [*json.loads(lines[0])] == ["id", "number", "year", "amount", "account"]
    assert not Job.objects.exists()


def test_a_stream_may_be_asked_for_by_its_format(client: Client) -> None:
    rows = contracts(3)

    response = client.get(f"{URL}?format=ndjson&ids={rows[2].pk},{rows[0].pk}")

    numbers = [json.loads(line)["number"] for line in b"".join(response).splitlines()]
    assert numbers == ["C002", "C000"]


def test_a_stream_is_read_in_batches(
    client: Client, settings: Any, django_assert_num_queries: Any
) -> None:
    contracts(25)
    settings.PARTSTREAM = {"BATCH_SIZE": 10}

    with django_assert_num_queries(3):
        lines = b"".join(client.get(URL, headers={"accept": NDJSON})).splitlines()

    assert len(lines) == 25


def in_tokyo(get_response: Any) -> Any:
    """Middleware that tidies up behind itself."""

    def middleware(request: Any) -> Any:
        timezone.activate(zoneinfo.ZoneInfo("Asia/Tokyo"))

        try:
            return get_response(request)
        finally:
            timezone.deactivate()

    return middleware


def test_a_stream_ends_in_the_time_zone_in_which_it_began(
    client: Client, settings: Any, ledger: Any
) -> None:
    store(5)
    settings.PARTSTREAM = {"BATCH_SIZE": 2}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.in_tokyo"]

    response = client.get(f"{BASE}operations/", headers={"accept": NDJSON})

    moments = [json.loads(line)["datetime"] for line in b"".join(response).splitlines()]
    assert [moment[10:] for moment in moments] == [
        f"T{hour}:00:00+09:00" for hour in range(19, 24)
    ]


def test_a_small_set_is_a_job_for_whoever_would_rather_not_wait(
    client: Client,
) -> None:
    contracts(2)

    response = client.get(URL, headers={"prefer": "respond-async"})

    assert response.status_code == 202
    assert response["Preference-Applied"] == "respond-async"
    assert status_of(client, response)["result"]["success_count"] == 2


def test_a_wrong_question_has_a_status_and_not_half_a_stream(client: Client) -> None:
    response = ask(client, "GET", URL, {"filters": {"x": 1}}, Accept=NDJSON)

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_ids_may_come_in_the_body(client: Client) -> None:
    rows = contracts(3)

    response = ask(client, "POST", f"{URL}query/", {"ids": [rows[1].pk, "7777"]})

    assert response.json() == {
        "count": 1,
        "results": [
            {
                "id": rows[1].pk,
                "number": "C001",
                "year": 2001,
                "amount": None,
                "account": None,
            }
        ],
        "operation_type": "multi_get",
        "missing": [7777],
        "is_async": False,
    }


def test_a_question_by_post_becomes_a_job_that_is_a_get(client: Client) -> None:
    contracts(120)
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)

    response = ask(
        client,
        "POST",
        "/api/guarded/operations/query/",
        {"filters": {"year": {"gte": 2000}}},
    )

    assert status_of(client, response)["result"]["success_count"] == 120
    job = Job.objects.get()
    assert job.owner == user
    assert job.spec["envelope"]["method"] == "GET"


def test_a_job_reads_what_its_owner_may_see(client: Client) -> None:
    ours, theirs = (Account.objects.create(name=name) for name in "AB")
    mine = contracts(100, account=ours)
    hidden = Contract.objects.create(number="H", year=1, account=theirs)
    base = f"/api/accounts/{ours.pk}/contracts/operations/"

    response = client.get(f"{base}?ids={of_ids(mine)},{hidden.pk}")

    result = status_of(client, response)["result"]
    text = b"".join(client.get(response.json()["results_url"])).decode()
    assert (result["success_count"], result["error_count"]) == (100, 1)
    assert '"number":"H"' not in text


def test_rows_that_are_written_meanwhile_neither_double_nor_hide_others(
    client: Client, settings: Any
) -> None:
    rows = contracts(105)
    response = client.get(URL)
    Contract.objects.filter(pk=rows[0].pk).delete()
    Contract.objects.create(number="NEW", year=1)
    settings.PARTSTREAM = {"BATCH_SIZE": 10}

    status = status_of(client, response)

    lines = b"".join(client.get(response.json()["results_url"])).splitlines()
    numbers = [json.loads(line)["number"] for line in lines]
    assert status["state"] == "SUCCESS"
    assert numbers == [*(row.number for row in rows[1:]), "NEW"]


def test_without_jobs_a_large_set_is_at_once_or_refused(
    client: Client, settings: Any
) -> None:
    contracts(120)

    whole = client.get("/api/no-jobs/operations/")
    settings.PARTSTREAM = {"SYNC_MAX_ROWS": 119}
    refused = client.get("/api/no-jobs/operations/")

    assert whole.json()["count"] == 120
    assert refused.status_code == 413
    assert refused.json()["detail"] == (
        "120 objects were asked for; at most 119 are answered at once here. Ask for "
        "them in parts, or with Accept: application/x-ndjson."
    )


def test_the_cache_of_old_tells_of_jobs(client: Client) -> None:
    contracts(100)
    response = client.get(URL)
    task_id = response.json()["task_id"]
    run(response)

    summary = OperationCache.get_task_summary(task_id)

    assert summary == {
        key: value
        for key, value in client.get(response.json()["status_url"]).json().items()
        if not key.endswith("_url")
    }
    assert OperationCache.get_task_progress(task_id) == {
        "current": 100,
        "total": 100,
        "percentage": 100.0,
        "rows_per_second": summary["progress"]["rows_per_second"],
        "eta_seconds": None,
        "message": "The job is complete.",
    }
    assert OperationCache.get_task_result(task_id) == summary["result"]
    assert OperationCache.get_task_result("abc123-def456-ghi789") is None
    assert OperationCache.get_task_progress("0" * 32) is None
