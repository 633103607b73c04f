"""A job is its owner's: at every address, by every method, and in the worker."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import AsyncClient, Client

from django_partstream import urls
from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job, State
from django_partstream.subscriptions import open_subscription
from django_partstream.transports.websocket import RefusedError
from tests.app import views
from tests.app.models import Contract
from tests.forms import cases
from tests.jobs.work import make_job
from tests.test_subscriptions import subscription

pytestmark = pytest.mark.django_db

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
#: Every address that a job has.
ADDRESSES = sorted(
    {
        str(pattern.pattern)
        for pattern in urls.urlpatterns
        if "<uuid:job_id>" in str(pattern.pattern)
    }
)
ACCEPTED = ("*/*", "application/x-ndjson")


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


def staff(*permissions: str) -> Any:
    user = get_user_model().objects.create_user(uuid4().hex, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))

    return user


def client_of(user: Any) -> Client:
    client = Client()

    if user is not None:
        client.force_login(user)

    return client


def ask(client: Client, method: str, address: str, job_id: UUID, accept: str) -> Any:
    url = f"/api/{address.replace('<uuid:job_id>', str(job_id))}"

    return client.generic(method, url, headers={"Accept": accept})


def told(response: Any) -> tuple[int, bytes, dict[str, str]]:
    body = b"".join(response) if response.streaming else response.content

    return response.status_code, body, dict(response.headers)


def test_there_are_addresses_to_ask() -> None:
    assert len(ADDRESSES) >= 4


@pytest.mark.parametrize("address", ADDRESSES)
def test_for_whoever_may_not_see_it_a_job_is_not_there(
    address: str, ann: Any, bob: Any
) -> None:
    """Byte for byte what a job that never was is answered with."""
    job = make_job(owner=ann)
    before = states.jobs().filter(pk=job.pk).values().get()
    may_only_add = staff("add_job", "delete_job")
    no_staff = get_user_model().objects.create_user("carl")
    no_staff.user_permissions.set(Permission.objects.filter(codename="view_job"))
    others = [client_of(user) for user in (bob, None, may_only_add, no_staff)]

    for method, accept, client in cases(METHODS, ACCEPTED, others):
        theirs = told(ask(client, method, address, job.pk, accept))
        nobodys = told(ask(client, method, address, uuid4(), accept))

        assert theirs == nobodys, (method, accept)
        expected = (200, 406) if method == "OPTIONS" else (404, 405, 406)
        assert theirs[0] in expected, (method, accept)

    assert states.jobs().filter(pk=job.pk).values().get() == before
    assert states.jobs().count() == 1


@pytest.mark.parametrize(
    "address", [one for one in ADDRESSES if not one.endswith("retry/")]
)
def test_its_owner_sees_it_and_who_holds_an_anonymous_one(
    address: str, ann: Any, bob: Any
) -> None:
    for job, client in [
        (make_job(owner=ann, state=State.CANCELLED), client_of(ann)),
        (make_job(state=State.CANCELLED), client_of(bob)),
        (make_job(state=State.CANCELLED), client_of(None)),
    ]:
        assert ask(client, "GET", address, job.pk, "*/*").status_code == 200


def test_staff_sees_and_changes_by_permission(ann: Any) -> None:
    job = make_job(owner=ann)
    status = "operations/<uuid:job_id>/status/"
    viewer, changer = staff("view_job"), staff("change_job")

    assert ask(client_of(viewer), "GET", status, job.pk, "*/*").status_code == 200
    refused = ask(client_of(viewer), "DELETE", status, job.pk, "*/*")
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    job.refresh_from_db()
    assert job.state == State.PENDING

    assert ask(client_of(changer), "GET", status, job.pk, "*/*").status_code == 200
    cancelled = ask(client_of(changer), "DELETE", status, job.pk, "*/*")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "CANCELLED")
    # Their list is theirs all the same.
    assert client_of(viewer).get("/api/operations/").json()["count"] == 0


@pytest.mark.django_db(transaction=True)
async def test_a_stream_asks_the_same(async_client: AsyncClient) -> None:
    users = get_user_model().objects
    ann, bob = await users.acreate(username="ann"), await users.acreate(username="bob")
    job = await sync_to_async(make_job)(owner=ann, state=State.CANCELLED)
    url = f"/api/operations/{job.pk}/events/"
    headers = {"Accept": "application/x-ndjson"}
    await async_client.aforce_login(bob)

    assert (await async_client.get(url, headers=headers)).status_code == 404

    await async_client.aforce_login(ann)
    assert (await async_client.get(url, headers=headers)).status_code == 200
    await sync_to_async(connections.close_all)()


@pytest.mark.django_db(transaction=True)
async def test_a_subscription_asks_the_same() -> None:
    users = get_user_model().objects
    ann, bob = await users.acreate(username="ann"), await users.acreate(username="bob")
    job = await sync_to_async(make_job)(owner=ann, state=State.CANCELLED)

    async def followed(user: Any, job_id: UUID) -> list[str]:
        client = await sync_to_async(client_of)(user)
        cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
        asked = subscription(
            f"/api/operations/{job_id}/events/",
            headers=[(b"host", b"testserver"), (b"cookie", cookie)],
        )

        async with open_subscription(asked) as producer:
            return [type(frame).__name__ async for frame in producer]

    assert await followed(ann, job.pk) == ["Start", "Progress", "End"]

    for job_id in (job.pk, uuid4()):
        with pytest.raises(RefusedError) as refused:
            await followed(bob, job_id)

        assert refused.value.problem.wire() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is no job with this id.",
            "code": "not_found",
        }

    await sync_to_async(connections.close_all)()


async def lose_permission(user: Any) -> None:
    await user.user_permissions.aclear()


async def lose_account(user: Any) -> None:
    await get_user_model().objects.filter(pk=user.pk).aupdate(is_active=False)


@pytest.mark.parametrize(
    ("is_owner", "lose"), [(True, lose_account), (False, lose_permission)]
)
@pytest.mark.django_db(transaction=True)
async def test_who_loses_the_right_to_see_a_job_is_shown_no_more_of_it(
    settings: Any, is_owner: bool, lose: Any
) -> None:
    """Over a stream and a socket; who may still see it goes on."""
    settings.PARTSTREAM = {"POLL_SECONDS": 0.05}
    ann = await get_user_model().objects.acreate(username="ann")
    viewer = ann if is_owner else await sync_to_async(staff)("view_job")
    other = await sync_to_async(staff)("change_job")
    job = await sync_to_async(make_job)(owner=ann, state=State.PROGRESS)
    url = f"/api/operations/{job.pk}/events/"
    seen: list[asyncio.Queue[Any]] = []

    async def follow(user: Any) -> list[Any]:
        client = await sync_to_async(client_of)(user)
        cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
        asked = subscription(
            url, headers=[(b"host", b"testserver"), (b"cookie", cookie)]
        )
        frames: list[Any] = []
        queue: asyncio.Queue[Any] = asyncio.Queue()
        seen.append(queue)

        async with open_subscription(asked) as producer:
            async for frame in producer:
                frames.append(frame)
                queue.put_nowait(frame)

        return frames

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        refused = tasks.create_task(follow(viewer))
        allowed = tasks.create_task(follow(other))

        while len(seen) < 2 or min(queue.qsize() for queue in seen) < 2:
            await asyncio.sleep(0.01)

        await lose(viewer)
        await refused
        assert not allowed.done()
        await states.jobs().filter(pk=job.pk).aupdate(state=State.CANCELLED, seq=2)

    *_, end = refused.result()
    assert (end.reason, end.error.wire()["status"]) == ("refused", 404)
    assert end.error.detail == "There is no job with this id."
    assert [type(frame).__name__ for frame in refused.result()] == [
        *("Start", "Progress", "End")
    ]
    assert allowed.result()[-1].reason == "complete"
    await sync_to_async(connections.close_all)()


# In the worker


ROWS = [{"number": "C1", "year": 2024}, {"number": "C2", "year": 2025}]


def submit(client: Client, to: str, rows: Any = ROWS, **headers: str) -> Any:
    separator = "&" if "?" in to else "?"

    return client.post(
        f"/api/{to}{separator}unique_fields=number",
        json.dumps(rows),
        content_type="application/json",
        headers={"Prefer": "respond-async", **headers},
    )


def run(response: Any) -> Job:
    assert response.status_code == 202, response.content
    job = Job.objects.get(pk=response.json()["task_id"])
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(),
        stopping=lambda: False,
        on_change=lambda job: None,
    )
    job.refresh_from_db()

    return job


def test_rows_may_depend_on_headers_that_are_allowed(
    client: Client, settings: Any
) -> None:
    settings.PARTSTREAM = {"JOB_HEADERS": ["x-year"]}
    Contract.objects.create(number="C1", year=2024, amount=1)
    Contract.objects.create(number="C2", year=1999, amount=1)

    job = run(submit(client, "header-contracts/", **{"X-Year": "2024"}))

    # The other one is outside of what the view sees.
    assert (job.updated + job.unchanged, job.failed) == (1, 1)
    assert Contract.objects.get(number="C2").year == 1999


def test_headers_that_are_not_allowed_are_not_kept(client: Client) -> None:
    response = submit(
        client, "contracts/", Authorization="Token abc", Cookie="a=1", **{"X-A": "1"}
    )

    job = Job.objects.get(pk=response.json()["task_id"])
    assert "abc" not in json.dumps(job.spec)
    assert {*job.spec["envelope"]["headers"]} <= {"accept", "accept-language"}


def test_credentials_may_not_be_kept(settings: Any) -> None:
    from django_partstream import conf

    settings.PARTSTREAM = {"JOB_HEADERS": ["X-Year", "Authorization"]}

    assert conf.problems() == [
        (
            "PARTSTREAM['JOB_HEADERS'] is ['X-Year', 'Authorization']; expected a list "
            "of names, and none of credentials."
        )
    ]


def test_what_hangs_on_the_credential_goes_through_the_job_context(
    client: Client, ann: Any
) -> None:
    Contract.objects.create(number="C1", year=2024, amount=1)
    Contract.objects.create(number="C2", year=2025, amount=1)
    rows = [{"number": n, "year": 2024, "amount": "7"} for n in ("C1", "C2")]

    job = run(
        submit(client, "scoped-contracts/", rows, Authorization="Years 2024,2023")
    )

    assert (job.updated, job.failed) == (1, 1)
    assert "Years" not in json.dumps(job.spec)
    assert Contract.objects.get(number="C2").amount == 1


def test_a_view_that_would_see_more_in_the_worker_is_refused_with_advice(
    client: Client, ann: Any, settings: Any
) -> None:
    settings.DEBUG = True

    refused = submit(client, "forgetful-contracts/", Authorization="Years 2024")

    assert refused.status_code == 500
    assert refused.json()["code"] == "job_unavailable"
    assert refused.json()["detail"] == (
        "ForgetfulContractsViewSet.get_queryset() gives other rows in a job than in "
        "this request: it depends on more than the user, the address and the query "
        "string. What hangs on credentials, other headers or middleware goes through "
        "job_context(request), which returns it, and restore_job_context(context), "
        "which takes it up in the worker; a header can be named in "
        "PARTSTREAM['JOB_HEADERS']."
    )
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("to", "advice"),
    [
        (
            "oblivious-contracts/",
            (
                "ObliviousContractsViewSet has job_context() but no "
                "restore_job_context(context), which would take it up in the worker. "
                "Add it."
            ),
        ),
        (
            "opaque-contracts/",
            (
                "OpaqueContractsViewSet.job_context() must return a dict that JSON can "
                "hold: Object of type AnonymousUser is not JSON serializable."
            ),
        ),
    ],
)
def test_hooks_that_cannot_work_are_refused(
    client: Client, settings: Any, to: str, advice: str
) -> None:
    settings.DEBUG = True

    assert submit(client, to).json()["detail"] == advice


def test_a_user_who_is_not_in_the_database_has_no_jobs(
    client: Client, settings: Any
) -> None:
    settings.DEBUG = True

    refused = submit(client, "claimed-contracts/")

    assert refused.json()["code"] == "job_unavailable"
    assert refused.json()["detail"] == (
        "The request's user is a User, which is not in the database, so that a job "
        "could not be theirs. Authenticate with users of User, or set jobs = False on "
        "the view."
    )
    at_once = submit(client, "claimed-contracts/", Prefer="")
    assert at_once.status_code == 200
    with_key = submit(
        client, "claimed-contracts/", **{"Prefer": "", "Idempotency-Key": "1"}
    )
    assert with_key.status_code == 400
    assert with_key.json()["detail"] == (
        "The Idempotency-Key cannot be heeded for a user that is not in the database. "
        "Send the request without it."
    )


def test_the_serializers_context_is_complete(client: Client, ann: Any) -> None:
    seen = views.ContextContractsViewSet.Serializer.SEEN
    seen.clear()
    client.force_login(ann)

    run(
        submit(
            client, "context-contracts/?mark=m", ROWS[:1], **{"Accept-Language": "de"}
        )
    )

    # Asked in the worker alone, whose request has no body but all the rest.
    assert {*seen} == {
        (
            "ann",
            "POST",
            "m",
            "de",
            "http://testserver/api/context-contracts/?mark=m&unique_fields=number",
            "create",
            None,
            "en-us",
        )
    }


def test_rights_are_asked_again_for_every_slice(client: Client, ann: Any) -> None:
    ann.user_permissions.set(
        Permission.objects.filter(
            content_type__app_label="app", codename__endswith="contract"
        )
    )
    client.force_login(ann)
    response = submit(client, "model-permission-contracts/")
    ann.user_permissions.clear()

    job = run(response)

    assert (job.state, job.message) == (
        State.FAILURE,
        "The owner of this job may no longer do this.",
    )
    assert not Contract.objects.exists()
