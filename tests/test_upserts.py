"""An upsert over HTTP: answered at once, or as a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job, State
from tests.app.models import Account, Contract, Shouted

pytestmark = [pytest.mark.database, pytest.mark.django_db]

JSON = "application/json"
CSV = "text/csv"
ROWS = [
    {"number": "C1", "year": 2024, "amount": "10.00"},
    {"number": "C2", "year": 2025, "amount": None},
]


def post(
    client: Client,
    body: Any,
    *,
    to: str = "contracts",
    content_type: str = JSON,
    query: str = "?unique_fields=number",
    **headers: str,
) -> Any:
    if not isinstance(body, bytes | str):
        body = json.dumps(body)

    return client.post(
        f"/api/{to}/{query}",
        body,
        content_type=content_type,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def run(job: Job) -> Job:
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )
    job.refresh_from_db()

    return job


def numbers() -> list[str]:
    return [*Contract.objects.order_by("number").values_list("number", flat=True)]


def test_the_stored_objects_are_answered_in_input_order(client: Client) -> None:
    Contract.objects.create(number="C2", year=1)

    response = post(client, [*reversed(ROWS)])

    assert response.status_code == 200
    stored = {contract.number: contract for contract in Contract.objects.all()}
    assert response.json() == [
        {
            "id": stored[number].pk,
            "number": number,
            "year": year,
            "amount": amount,
            "account": None,
        }
        for number, year, amount in [("C2", 2025, None), ("C1", 2024, "10.00")]
    ]


def test_minimal_is_minimal_and_says_so(client: Client) -> None:
    response = post(client, ROWS, Prefer="return=minimal")

    assert response.status_code == 200
    assert response["Preference-Applied"] == "return=minimal"
    assert response.json() == {
        "message": "Successfully upserted 2 instances",
        "count": 2,
        "serialization_skipped": True,
    }


def test_csv_is_answered_as_json(client: Client) -> None:
    response = post(
        client, "number,year,amount\nC1,2024,NA\nC2,2025,2.5\n", content_type=CSV
    )

    assert [(row["number"], row["amount"]) for row in response.json()] == [
        ("C1", None),
        ("C2", "2.50"),
    ]


def test_a_file_in_a_form_brings_its_fields_along(client: Client) -> None:
    Contract.objects.create(number="C1", year=1, amount="7")
    file = SimpleUploadedFile("c.csv", b"number,year,amount\nC1,2024,9\n")

    response = client.post(
        "/api/contracts/",
        {"file": file, "unique_fields": "number", "update_fields": "year"},
    )

    assert response.status_code == 200, response.content
    assert response.json()[0]["year"] == 2024
    assert response.json()[0]["amount"] == "7.00"


def test_one_bad_row_writes_nothing_and_every_bad_row_is_named(client: Client) -> None:
    response = post(
        client,
        [*ROWS, {"number": "C3"}, {"number": "C4", "year": "x", "account": 99}],
    )

    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["code"] == "invalid_rows"
    assert problem["detail"] == (
        "2 of 4 rows are not valid; nothing was written. Correct them and send all "
        "rows again."
    )
    assert problem["rows"] == [
        {
            "row": 3,
            "errors": [
                {
                    "pointer": "/year",
                    "code": "required",
                    "detail": "This field is required.",
                }
            ],
        },
        {
            "row": 4,
            "errors": [
                {
                    "pointer": "/year",
                    "code": "invalid",
                    "detail": "A valid integer is required.",
                },
                {
                    "pointer": "/account",
                    "code": "does_not_exist",
                    "detail": 'Invalid pk "99" - object does not exist.',
                },
            ],
        },
    ]
    assert numbers() == []


def test_a_single_object_is_answered_as_by_plain_drf(client: Client) -> None:
    response = post(client, ROWS[0], query="")

    assert response.status_code == 201
    assert response.json()["number"] == "C1"
    bad = post(client, {"number": "C1"}, query="")
    assert bad.status_code == 400
    assert bad.json() == {
        "number": ["contract with this number already exists."],
        "year": ["This field is required."],
    }


def test_respond_async_makes_a_job_of_the_same_work(client: Client) -> None:
    Contract.objects.create(number="C2", year=2025)

    response = post(
        client,
        [*ROWS, {"number": "C3"}, {"number": "C1", "year": 2024, "amount": "10"}],
        Prefer="respond-async",
    )

    assert response.status_code == 202
    assert response["Preference-Applied"] == "respond-async"
    assert response["Retry-After"] == "1"
    job = Job.objects.get()
    base = f"/api/operations/{job.pk}"
    assert response["Location"] == f"{base}/status/"
    assert response.json() == {
        "message": "Upsert task started for 4 items",
        "task_id": str(job.pk),
        "total_items": 4,
        "is_async": True,
        "status_url": f"{base}/status/",
        "events_url": f"{base}/events/",
        "results_url": f"{base}/results/",
    }
    assert numbers() == ["C2"]

    job = run(job)

    assert job.state == State.SUCCESS
    assert (job.created, job.updated, job.unchanged, job.failed) == (1, 0, 2, 1)
    assert numbers() == ["C1", "C2"]
    failures = client.get(f"{base}/results/?outcome=failed").getvalue().splitlines()
    assert [json.loads(line) for line in failures] == [
        {
            "row": 3,
            "line": None,
            "outcome": "failed",
            "pk": None,
            "data": {"number": "C3"},
            "errors": [
                {
                    "pointer": "/year",
                    "code": "required",
                    "detail": "This field is required.",
                }
            ],
        }
    ]


def test_a_refused_csv_corrected_is_accepted_as_it_is(client: Client) -> None:
    post(
        client,
        'number,year,amount\nC1,2024,NA\n"=1+1",no,1\n"C3\nx",never,-2\n',
        content_type=CSV,
        Prefer="respond-async",
    )
    job = run(Job.objects.get())
    assert (job.created, job.failed) == (1, 2)

    file = client.get(f"/api/operations/{job.pk}/results/?format=csv").getvalue()

    assert b"'=1+1" in file
    corrected = file.replace(b",no,", b",2001,").replace(b",never,", b",2002,")
    response = post(client, corrected, content_type=CSV)
    assert response.status_code == 200, response.content
    assert numbers() == ["=1+1", "C1", "C3\nx"]


def test_more_rows_than_are_answered_at_once_are_a_job(client: Client) -> None:
    assert post(client, ROWS, to="few-contracts").status_code == 200

    third = {"number": "C3", "year": 1}
    response = post(client, [*ROWS, third], to="few-contracts")

    assert response.status_code == 202
    assert "Preference-Applied" not in response


def test_a_job_belongs_to_its_creator(client: Client) -> None:
    ann = get_user_model().objects.create_user("ann")
    client.force_login(ann)

    post(client, ROWS, Prefer="respond-async")

    assert Job.objects.get().owner == ann


def test_a_job_of_somebody_who_was_locked_out_fails(client: Client) -> None:
    ann = get_user_model().objects.create_user("ann")
    client.force_login(ann)
    post(client, ROWS, Prefer="respond-async")
    ann.is_active = False
    ann.save()

    job = run(Job.objects.get())

    assert (job.state, job.message) == (
        State.FAILURE,
        "The owner of this job is no longer active.",
    )
    assert numbers() == []


def test_a_job_of_somebody_who_lost_the_right_fails(client: Client) -> None:
    ann = get_user_model().objects.create_user("ann")
    right = Permission.objects.get(codename="add_contract")
    ann.user_permissions.add(right)
    client.force_login(ann)
    response = post(
        client, ROWS, to="model-permission-contracts", Prefer="respond-async"
    )
    assert response.status_code == 202
    ann.user_permissions.remove(right)

    job = run(Job.objects.get())

    assert job.state == State.FAILURE
    assert job.message == "The owner of this job may no longer do this."


def test_who_may_only_add_changes_nothing_by_an_upsert(client: Client) -> None:
    Contract.objects.create(number="C2", year=1)
    ann = get_user_model().objects.create_user("ann")
    ann.user_permissions.add(Permission.objects.get(codename="add_contract"))
    client.force_login(ann)

    response = post(client, ROWS, to="model-permission-contracts")

    assert response.status_code == 400
    assert [
        (row["row"], row["errors"][0]["code"]) for row in response.json()["rows"]
    ] == [(2, "permission_denied")]
    ann.user_permissions.add(Permission.objects.get(codename="change_contract"))
    assert post(client, ROWS, to="model-permission-contracts").status_code == 200


def test_object_permissions_are_asked_for_every_stored_row(client: Client) -> None:
    Contract.objects.create(number="C1", year=1999)
    Contract.objects.create(number="C2", year=2000)
    client.force_login(get_user_model().objects.create_user("ann"))

    response = post(client, ROWS, to="unlocked-contracts")

    assert response.status_code == 400
    assert [row["row"] for row in response.json()["rows"]] == [1]
    assert post(client, ROWS[1:], to="unlocked-contracts").status_code == 200


def test_the_job_sees_what_the_query_string_says(client: Client) -> None:
    Contract.objects.create(number="C1", year=2023)
    Contract.objects.create(number="C2", year=2024)

    post(
        client,
        [
            {"number": "C1", "year": 2024, "amount": "1"},
            {"number": "C2", "year": 2024, "amount": "1"},
        ],
        to="year-contracts",
        query="?unique_fields=number&year=2024",
        Prefer="respond-async",
    )
    job = run(Job.objects.get())

    assert (job.updated, job.failed) == (1, 1)
    assert Contract.objects.get(number="C1").year == 2023


@pytest.mark.parametrize(
    ("to", "headers", "advice"),
    [
        ("header-contracts", {"X_Year": "2024"}, "cannot be rebuilt for a job: Key"),
        ("token-contracts", {"X_Key": "open"}, "cannot be rebuilt for a job: Perm"),
        ("agent-contracts", {"User_Agent": "2024"}, "gives other rows in a job"),
    ],
)
def test_a_view_that_would_see_other_rows_in_a_job_is_refused(
    client: Client,
    caplog: pytest.LogCaptureFixture,
    to: str,
    headers: dict[str, str],
    advice: str,
) -> None:
    response = post(client, ROWS, to=to, Prefer="respond-async", **headers)

    assert response.status_code == 500
    assert not Job.objects.exists()
    assert response.json()["code"] == "job_unavailable"
    assert advice in caplog.text
    at_once = post(client, ROWS, to=to, **headers)
    assert at_once.status_code == 200, at_once.content


def test_perform_create_is_honoured_row_by_row(client: Client) -> None:
    response = post(
        client,
        [{"name": "a"}, {"name": "b", "times": 1}],
        to="owned-shouts",
        query="?unique_fields=name",
    )

    assert response.status_code == 200, response.content
    assert [*Shouted.objects.order_by("name").values_list("shout", "times")] == [
        ("A", 41),
        ("B", 41),
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "query", "status", "code"),
    [
        (b"", JSON, "?unique_fields=number", 400, "empty_upload"),
        (b"", CSV, "?unique_fields=number", 400, "empty_upload"),
        (b'"text"', JSON, "?unique_fields=number", 400, "invalid_json"),
        (b"[1,", JSON, "?unique_fields=number", 400, "invalid_json"),
        (b'[{"number": NaN}]', JSON, "?unique_fields=number", 400, "invalid_json"),
        (b"[" * 100_000, JSON, "?unique_fields=number", 400, "invalid_json"),
        (b"\x89PNG\r\n\x1a\n\0", CSV, "?unique_fields=number", 400, "not_csv"),
        (b"number,yaer\n", CSV, "?unique_fields=number", 400, "invalid_columns"),
        (b"number,year\n\xff,1\n", CSV, "?unique_fields=number", 400, "undecodable"),
        (b"[]", JSON, "?unique_fields=", 400, "invalid_unique_fields"),
        (b"[]", JSON, "?unique_fields=year", 400, "invalid_unique_fields"),
        (b"[]", JSON, "?unique_fields=account__name", 400, "invalid_unique_fields"),
        (
            b"[]",
            JSON,
            "?unique_fields=number&update_fields=password",
            400,
            "invalid_columns",
        ),
        (b"<x/>", "text/xml", "?unique_fields=number", 415, "unsupported_media_type"),
    ],
)
def test_a_bad_request_is_a_problem_and_writes_nothing(
    client: Client,
    body: bytes,
    content_type: str,
    query: str,
    status: int,
    code: str,
) -> None:
    for prefer in ("", "respond-async"):
        response = post(
            client, body, content_type=content_type, query=query, Prefer=prefer
        )

        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == code
        assert response.json()["detail"]

    assert numbers() == []
    assert not Job.objects.exists()


def test_a_form_needs_one_file(client: Client) -> None:
    response = client.post("/api/contracts/", {"unique_fields": "number"})

    assert response.status_code == 400
    assert response.json()["detail"] == "The form has 0 files; expected one."


def test_an_upload_over_the_limit_is_refused(client: Client, settings: Any) -> None:
    settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 20}

    response = post(client, ROWS)

    assert response.status_code == 413
    assert response.json()["code"] == "too_large"


def test_too_many_rows_are_refused(client: Client, settings: Any) -> None:
    settings.PARTSTREAM = {"MAX_ROWS": 1}

    response = post(client, ROWS, Prefer="respond-async")

    assert response.status_code == 413
    assert response.json()["code"] == "too_many_rows"
    assert not Job.objects.exists()


def test_batches_do_not_show_in_the_outcome(client: Client, settings: Any) -> None:
    account = Account.objects.create(name="a")
    rows = [
        {"number": f"C{n % 7}", "year": 2000 + n, "account": account.pk}
        for n in range(50)
    ]
    settings.PARTSTREAM = {"BATCH_SIZE": 3}

    response = post(client, rows)

    assert response.status_code == 200
    assert Contract.objects.count() == 7
    assert Contract.objects.get(number="C0").year == 2049


def test_under_atomic_requests_it_is_the_same(client: Client, settings: Any) -> None:
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True

    try:
        assert post(client, [*ROWS, {"number": "C3"}]).status_code == 400
        assert numbers() == []
        assert post(client, ROWS).status_code == 200
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False

    assert numbers() == ["C1", "C2"]
