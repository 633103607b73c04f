"""A request becomes a job: once for a key, up to a quota, waited for on demand."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.test import Client

from django_partstream.bulk_work import BulkWork
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job, JobInput
from tests.app.models import Contract
from tests.jobs.work import make_job

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

ROWS = [{"number": "C1", "year": 2024}, {"number": "C2", "year": 2025}]
ADDRESS = "/api/contracts/"
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


def post(
    client: Client, body: Any = ROWS, address: str = ADDRESS, **headers: str
) -> Any:
    return client.post(
        address,
        json.dumps(body),
        content_type="application/json",
        headers={"Prefer": "respond-async"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
    )


def run(job_id: Any) -> None:
    run_slice(
        job_id,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )


@pytest.fixture
def ann(client: Client) -> Any:
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)

    return user


def at_once(count: int, ask: Callable[[int], Any]) -> list[Any]:
    """What `ask` returns in so many threads that begin together."""
    barrier = threading.Barrier(count)

    def asked(number: int) -> Any:
        try:
            barrier.wait()
            return ask(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return [*pool.map(asked, range(count))]


# Transactions


def test_a_request_that_is_rolled_back_leaves_no_job(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    client.raise_request_exception = False
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.jobs.middleware.FailsInside"]

    assert post(client, x_fail="yes").status_code == 500
    assert not Job.objects.exists()
    assert not JobInput.objects.exists()

    assert post(client).status_code == 202
    assert Job.objects.count() == JobInput.objects.count() == 1


@pytest.mark.parametrize("atomic", [False, True])
def test_the_job_is_handed_out_after_the_requests_transaction(
    client: Client, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)

    job_id = post(client).json()["task_id"]

    assert Job.objects.get(pk=job_id).dispatches == 1


def test_a_job_of_no_rows_is_done_at_once(client: Client, ann: Any) -> None:
    accepted = post(client, [], f"{ADDRESS}?unique_fields=number").json()
    run(accepted["task_id"])

    status = client.get(accepted["status_url"]).json()

    assert (status["state"], status["result"]["total_items"]) == ("SUCCESS", 0)


def test_a_step_of_no_rows_that_raises_says_what(
    client: Client,
    ann: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def check_end(self: BulkWork, position: Any) -> None:
        raise LookupError("the end is not there")

    monkeypatch.setattr(BulkWork, "_check_end", check_end)
    accepted = post(client, [], f"{ADDRESS}?unique_fields=number").json()
    run(accepted["task_id"])

    status = client.get(accepted["status_url"]).json()

    assert (status["state"], status["code"]) == ("FAILURE", "application_error")
    assert "LookupError: the end is not there" in caplog.text
    assert "AssertionError" not in caplog.text


# Idempotency


@pytest.mark.parametrize("key", [KEY, f'"{KEY}"'])
def test_a_replay_is_answered_with_the_same_job(client: Client, key: str) -> None:
    first = post(client, Idempotency_Key=key)
    again = post(client, Idempotency_Key=KEY)

    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first["Location"] == again["Location"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Job.objects.count() == 1


def test_a_finished_job_is_replayed_too(client: Client, ann: Any) -> None:
    first = post(client, Idempotency_Key="1")
    run(first.json()["task_id"])

    again = post(client, Idempotency_Key="1")

    assert again.status_code == 202
    assert again.json() == first.json()
    assert Contract.objects.count() == 2


@pytest.mark.parametrize(
    ("body", "address"),
    [
        (ROWS[:1], ADDRESS),
        (ROWS, f"{ADDRESS}?unique_fields=number"),
        (ROWS, "/api/few-contracts/"),
    ],
)
def test_another_request_with_the_key_is_refused(
    client: Client, body: Any, address: str
) -> None:
    post(client, Idempotency_Key=KEY)

    refused = post(client, body, address, Idempotency_Key=KEY)

    assert refused.status_code == 422
    assert refused.json()["code"] == "idempotency_mismatch"
    assert refused.json()["detail"] == (
        "This Idempotency-Key came with another request. Take a new one for this."
    )
    assert Job.objects.count() == 1


def test_two_users_never_meet_each_others_keys(client: Client, ann: Any) -> None:
    bobs = Client()
    bobs.force_login(get_user_model().objects.create_user("bob"))

    one = post(client, Idempotency_Key=KEY)
    other = post(bobs, ROWS[:1], Idempotency_Key=KEY)
    nobodys = post(Client(), ROWS[:1], Idempotency_Key=KEY)

    assert [r.status_code for r in (one, other, nobodys)] == [202, 202, 202]
    assert len({r.json()["task_id"] for r in (one, other, nobodys)}) == 3


def test_an_anonymous_key_is_as_hard_to_guess_as_a_jobs_id(client: Client) -> None:
    refused = post(client, Idempotency_Key="order-1")

    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_idempotency_key"
    assert refused.json()["detail"] == (
        "The Idempotency-Key of an anonymous request must have 32 characters or more, "
        "for example a random UUID: whoever knows it is answered with the job."
    )


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "caf\xe9"])
def test_a_key_that_is_none_is_refused(client: Client, ann: Any, key: str) -> None:
    refused = post(client, Idempotency_Key=key)

    assert refused.status_code == 400
    assert refused.json()["detail"] == (
        "The Idempotency-Key must have 1 to 255 printable ASCII characters."
    )


@pytest.mark.parametrize("atomic", [False, True])
def test_of_many_that_come_at_once_one_becomes_the_job(
    monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)

    answers = at_once(6, lambda _: post(Client(), Idempotency_Key=KEY))

    # 409 where a transaction cannot see what another one wrote: it is asked again.
    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["task_id"] for answer in accepted}) == 1
    replayed = [answer.get("Idempotency-Replayed") for answer in accepted]
    assert replayed.count(None) == 1
    assert Job.objects.count() == JobInput.objects.count() == 1


def test_of_two_payloads_that_come_at_once_one_is_refused() -> None:
    answers = at_once(
        2, lambda number: post(Client(), ROWS[number:], Idempotency_Key=KEY)
    )

    assert sorted(answer.status_code for answer in answers) == [202, 422]
    assert Job.objects.count() == 1


# Quotas


def test_more_unfinished_jobs_than_a_user_may_have_are_refused(
    client: Client, ann: Any, settings: Any
) -> None:
    settings.PARTSTREAM = {"JOBS_PER_USER": 2}
    first = post(client).json()["task_id"]
    key = str(uuid.uuid4())
    post(client, Idempotency_Key=key)

    refused = post(client)

    assert refused.status_code == 429
    assert refused["Retry-After"] == "5"
    assert refused.json()["code"] == "too_many_jobs"
    assert refused.json()["detail"] == (
        "You have 2 unfinished jobs, which is all that one user may have. Wait until "
        "one has ended, or cancel one."
    )
    # What came before is no further job.
    assert post(client, Idempotency_Key=key).status_code == 202
    run(first)
    assert post(client).status_code == 202
    assert Job.objects.count() == JobInput.objects.count() == 3


def test_callers_without_a_name_have_the_quota_of_one_user(
    client: Client, settings: Any
) -> None:
    settings.PARTSTREAM = {"JOBS_PER_USER": 2}
    # What the project itself has submitted is nobody's request.
    make_job()
    first = post(client).json()["task_id"]
    assert post(Client(REMOTE_ADDR="203.0.113.7")).status_code == 202

    refused = post(Client(REMOTE_ADDR="203.0.113.8"))

    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_jobs"
    assert refused.json()["detail"] == (
        "Callers who are not signed in have, together, 2 unfinished jobs, which is all "
        "that one user may have. Wait until one has ended, or cancel one."
    )
    client.force_login(get_user_model().objects.create_user("ann"))
    assert post(client).status_code == 202
    client.logout()
    run(first)
    assert post(client).status_code == 202


def test_nobody_slips_past_the_quota_by_asking_at_once(settings: Any) -> None:
    settings.PARTSTREAM = {"JOBS_PER_USER": 3}
    user = get_user_model().objects.create_user("ann")
    clients = [Client() for _ in range(8)]

    for client in clients:
        client.force_login(user)

    answers = at_once(8, lambda number: post(clients[number]))

    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [429] * 5
    assert Job.objects.count() == 3


# Answers at once


def post_now(client: Client, body: Any = ROWS, **headers: str) -> Any:
    return post(client, body, Prefer=headers.pop("Prefer", ""), **headers)


@pytest.mark.parametrize("atomic", [False, True])
def test_an_answer_at_once_is_given_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", atomic)

    first = post_now(client, Idempotency_Key=KEY)
    again = post_now(client, Idempotency_Key=KEY)

    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first["Bulk-Mode"] == again["Bulk-Mode"]
    assert "Idempotency-Replayed" not in first
    assert again["Idempotency-Replayed"] == "true"
    assert Contract.objects.count() == 2


def test_of_many_that_come_at_once_one_is_written() -> None:
    answers = at_once(6, lambda _: post_now(Client(), Idempotency_Key=KEY))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Contract.objects.count() == 2


def test_another_request_is_refused_at_once(client: Client) -> None:
    post_now(client, Idempotency_Key=KEY)

    for refused in (
        post_now(client, ROWS[:1], Idempotency_Key=KEY),
        post_now(client, Prefer="return=minimal", Idempotency_Key=KEY),
        post(client, Idempotency_Key=KEY),
    ):
        assert refused.status_code == 422
        assert refused.json()["code"] == "idempotency_mismatch"


def test_what_was_refused_is_not_kept(client: Client) -> None:
    bad = [*ROWS, {"number": "C3"}]

    assert post_now(client, bad, Idempotency_Key=KEY).status_code == 400
    assert post_now(client, bad, Idempotency_Key=KEY).status_code == 400
    assert not Job.objects.exists()

    lenient = [
        post_now(client, bad, Idempotency_Key=KEY, Prefer="handling=lenient")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in lenient] == [207, 207]
    assert lenient[0].json() == lenient[1].json()
    assert Contract.objects.count() == 2


def test_what_was_only_tried_is_tried_again(client: Client) -> None:
    for _ in range(2):
        tried = post_now(client, Idempotency_Key=KEY, Prefer="tx=rollback")
        assert tried.status_code == 201
        assert "Idempotency-Replayed" not in tried

    assert not Contract.objects.exists()
    assert not Job.objects.exists()


def test_a_kept_answer_is_no_job_of_the_callers(client: Client, ann: Any) -> None:
    post_now(client, Idempotency_Key="1")

    assert client.get("/api/operations/").json()["count"] == 0


def test_without_a_key_nothing_is_kept(client: Client) -> None:
    post_now(client)

    assert not Job.objects.exists()
