"""The job views: whose jobs they show, and how."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import AsyncClient, Client

from django_partstream import hub
from django_partstream.jobs import following, progress, states
from django_partstream.models import Job, JobCancel, State
from django_partstream.stream_slots import slots
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


# Polling


def ask(client: Any, job: Job, **headers: str) -> Any:
    return client.get(
        address(job, "status"),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.mark.parametrize("etag", ['"{seq}"', 'W/"{seq}"', '"7", "{seq}"', "*"])
def test_what_a_client_knows_is_not_said_again(client: Client, etag: str) -> None:
    job = make_job(seq=5)

    response = ask(client, job, If_None_Match=etag.format(seq=5))

    assert (response.status_code, response.content) == (304, b"")
    assert response["ETag"] == '"5"'
    assert response["Retry-After"] == "1"
    assert ask(client, job, If_None_Match='"4"').status_code == 200


@pytest.mark.parametrize("known", [None, '"5"'])
@pytest.mark.django_db(transaction=True)
async def test_waiting_ends_when_the_job_moves_on(
    async_client: AsyncClient, settings: Any, known: str | None
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 60}
    job = await sync_to_async(make_job)(seq=5)
    headers = {"Prefer": "wait=20"} | ({"If_None_Match": known} if known else {})

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ask(async_client, job, **headers))

        while not hub.statistics().mailboxes:
            await asyncio.sleep(0)

        # It has read the row by then or not; a message tells it in either case.
        await states.jobs().filter(pk=job.pk).aupdate(seq=6, state="PROGRESS")
        moved = await states.jobs().aget(pk=job.pk)
        await hub.publish(progress.group_of(job.pk), progress.snapshot(moved))

    response = waiting.result()
    assert response.status_code == 200
    assert response["ETag"] == '"6"'
    assert response.json()["state"] == "PROGRESS"
    assert response["Preference-Applied"] == "wait=20"


@pytest.mark.django_db(transaction=True)
async def test_waiting_in_vain_says_that_nothing_has_changed(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.PARTSTREAM = {"MAX_WAIT_SECONDS": 0.05}
    job = await sync_to_async(make_job)(seq=5)

    assert (await ask(async_client, job, Prefer="wait=9")).status_code == 200
    response = await ask(async_client, job, Prefer="wait=9", If_None_Match='"5"')
    assert response.status_code == 304


@pytest.mark.parametrize(
    ("job", "known"),
    [({"state": "SUCCESS", "seq": 5}, '"5"'), ({"seq": 5}, '"4"')],
    ids=["it has ended", "the client knows less"],
)
def test_there_is_nothing_to_wait_for(
    client: Client, job: dict[str, Any], known: str
) -> None:
    started = time.monotonic()

    response = ask(client, make_job(**job), Prefer="wait=20", If_None_Match=known)

    assert response.status_code == (304 if "state" in job else 200)
    assert time.monotonic() - started < 10


@pytest.mark.django_db(transaction=True)
def test_under_wsgi_it_waits_too(client: Client) -> None:
    job = make_job(seq=5)

    def move() -> None:
        states.jobs().filter(pk=job.pk).update(seq=6)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move)
        response = ask(client, job, Prefer="wait=20", If_None_Match='"5"')
        moving.result()

    assert response["ETag"] == '"6"'


@pytest.mark.django_db(transaction=True)
async def test_followers_are_told_of_a_cancel_at_once(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.PARTSTREAM = {"POLL_SECONDS": 60}
    job = await sync_to_async(make_job)()

    async with contextlib.aclosing(following.follow(job.pk)) as stream:
        await anext(stream)
        await anext(stream)
        await async_client.delete(address(job, "status"))
        shown: Any = await anext(stream)

    assert shown.snapshot["state"] == "CANCELLED"


@pytest.mark.django_db(transaction=True)
async def test_who_holds_as_many_streams_as_one_may_is_answered_at_once(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.PARTSTREAM = {"STREAMS_PER_USER": 1, "MAX_WAIT_SECONDS": 100}
    job = await sync_to_async(make_job)(seq=5)
    slot = slots.take("127.0.0.1", 1)

    try:
        async with asyncio.timeout(20):
            assert (await ask(async_client, job, Prefer="wait=99")).status_code == 200
    finally:
        slot.give_back()


def test_a_cancel_that_a_batch_holds_up_is_accepted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(state="PROGRESS", seq=5)

    def leave_word(job_id: Any) -> State:
        JobCancel.objects.create(job_id=job_id)

        return State.CANCELLING

    monkeypatch.setattr(states, "cancel", leave_word)

    response = client.delete(address(job, "status"))

    assert response.status_code == 202
    assert response.json()["state"] == "CANCELLING"
    # What a client knew before is no longer so.
    assert ask(client, job, If_None_Match='"5"').json()["status"] == "cancelling"
