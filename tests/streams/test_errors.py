"""What goes wrong before the first byte, and what cannot go wrong after it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import signals
from django.db import connection
from django.test import AsyncClient, AsyncRequestFactory, Client

from django_partstream.parts.observer import PartEvent, observe, unobserve
from tests.streams import views

pytestmark = pytest.mark.django_db

NDJSON = "application/x-ndjson"

#: As servers of all sorts are asked.
ACCEPTS = [
    "application/json",
    NDJSON,
    "text/event-stream",
    "text/event-stream, application/x-ndjson;q=0.5",
    "*/*",
    "",
]

REFUSALS = [
    ("get", "/needs-token/", 401, "not_authenticated"),
    ("get", "/needs-user/", 403, "not_authenticated"),
    ("get", "/quick/?format=xml", 404, "not_found"),
    ("post", "/quick/", 405, "method_not_allowed"),
    ("get", "/quick/?a=" + "x" * 1100, 414, "query_too_long"),
    ("get", "/throttled/", 429, "throttled"),
    ("get", "/failing/", 500, "error"),
    ("get", "/quick/?" + "&".join("a" * 1100), 400, "bad_request"),
    ("get", "/quick/?parts=fourth", 400, "unknown_part"),
    ("get", "/quick/?cursor=forged", 400, "cursor_invalid"),
    (
        "get",
        "/api/operations/00000000-0000-0000-0000-000000000000/events/",
        404,
        "not_found",
    ),
]


@pytest.fixture
def client() -> Client:
    """As a server has no pytest behind it."""
    return Client(raise_request_exception=False)


@pytest.fixture
def async_client() -> AsyncClient:
    return AsyncClient(raise_request_exception=False)


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize(
    ("method", "url", "status", "code"),
    REFUSALS,
    ids=[f"{status}-{code}" for _, _, status, code in REFUSALS],
)
async def test_refusal_is_a_problem_whatever_is_accepted(
    async_client: AsyncClient,
    method: str,
    url: str,
    status: int,
    code: str,
    accept: str,
) -> None:
    response = await getattr(async_client, method)(url, headers={"Accept": accept})

    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (
        status,
        status,
        code,
    )
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    assert "Accept" in response["Vary"]
    assert "hunter2" not in response.content.decode()


@pytest.mark.parametrize("accept", ["image/png", "json", "application/json;q=0", ";"])
async def test_what_cannot_be_accepted_is_a_problem(
    async_client: AsyncClient, accept: str
) -> None:
    response = await async_client.get("/quick/", headers={"Accept": accept})

    assert response.status_code == 406
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_acceptable"


async def test_old_cursor_is_gone(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("django.core.signing.time.time", lambda: 1.0)
        cursor = (await async_client.get("/quick/?chunk_size=1")).json()["cursor"]

    response = await async_client.get(
        f"/quick/?cursor={cursor}", headers={"Accept": "text/event-stream"}
    )

    assert response.status_code == 410
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "cursor_expired"


async def test_headers_of_a_refusal_are_kept(async_client: AsyncClient) -> None:
    token = await async_client.get("/needs-token/")
    post = await async_client.post("/quick/")
    throttled = await async_client.get("/throttled/", headers={"Accept": NDJSON})

    assert token["WWW-Authenticate"] == "Token"
    assert post["Allow"] == "GET, HEAD, OPTIONS"
    assert throttled["Retry-After"] == "17"


async def test_failure_before_the_first_byte_is_told_to_those_who_watch(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []

    def listener(request: Any, **_: Any) -> None:
        heard.append(request.path)

    signals.got_request_exception.connect(listener)

    try:
        response = await async_client.get("/failing/", headers={"Accept": NDJSON})
    finally:
        signals.got_request_exception.disconnect(listener)

    assert response.json()["detail"] == "The request could not be served."
    assert heard == ["/failing/"]
    (record,) = [one for one in caplog.records if one.name == "django.request"]
    assert record.getMessage() == "Internal Server Error: /failing/"
    assert "hunter2" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_failure_undoes_what_the_request_wrote(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    response = client.get("/writing/")

    assert response.status_code == 500
    assert response.json()["code"] == "error"
    assert get_user_model().objects.count() == 0


async def test_test_client_raises_what_the_view_raised() -> None:
    with pytest.raises(RuntimeError, match="hunter2"):
        await AsyncClient().get("/failing/")


async def test_failure_is_told_to_the_client_where_debug_is_on(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.DEBUG = True

    response = await async_client.get("/failing/")

    assert response.status_code == 500
    assert response.json()["detail"] == "RuntimeError: password=hunter2"


async def lines(client: AsyncClient, url: str) -> list[dict[str, Any]]:
    response: Any = await client.get(url, headers={"Accept": NDJSON})
    assert response.status_code == 200
    body = b"".join([chunk async for chunk in response])

    return [json.loads(line) for line in body.splitlines()]


async def test_observer_that_raises_harms_no_stream(async_client: AsyncClient) -> None:
    def fails(event: PartEvent) -> None:
        raise RuntimeError("password=hunter2")

    observe(fails)

    try:
        found = await lines(async_client, "/quick/")
    finally:
        unobserve(fails)

    assert [frame["type"] for frame in found] == ["start", *["part"] * 3, "end"]


async def test_part_that_raises_a_type_error_is_no_broken_stream(
    async_client: AsyncClient,
) -> None:
    found = await lines(async_client, "/type-errors/")

    assert {one["name"]: one["type"] for one in found[1:-1]} == {
        "good": "part",
        "bad": "error",
    }
    assert (found[-1]["ok"], found[-1]["failed"]) == (1, 1)


async def test_first_frame_leaves_before_any_work_begins(
    async_rf: AsyncRequestFactory,
) -> None:
    request = async_rf.get("/", headers={"Accept": NDJSON})
    stream: Any = aiter(await views.Steps.as_view()(request))

    assert b'"type":"start"' in await anext(stream)
    assert views.log == []
    assert b'"ready"' in await anext(stream)
    assert views.log == [f"{name} begins" for name in views.STEPS]
    await stream.aclose()


async def test_part_that_sets_a_header_is_told_that_it_is_too_late(
    async_client: AsyncClient, settings: Any
) -> None:
    settings.DEBUG = True

    found = await lines(async_client, "/late/")

    details = {one["name"]: one["error"]["detail"] for one in found if "error" in one}
    assert details == {
        name: (
            f"RuntimeError: It is too late for the {name} {value!r}: the headers of a "
            "stream have left before its parts are made. Do it in get_parts() or in "
            "middleware."
        )
        for name, value in {"header": "X-Late", "cookie": "late"}.items()
    }


LOST = (
    "A part of /remembering/ changed the session, and the change is lost: the session "
    "of a stream is saved before its parts are made. Change it in get_parts()."
)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = "django_partstream.streamable"

    return [one.getMessage() for one in caplog.records if one.name == ours]


@pytest.mark.django_db(transaction=True)
async def test_part_that_changes_the_session_too_late_is_logged(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await lines(async_client, "/remembering/")
    assert said(caplog) == []
    await lines(async_client, "/remembering/?late=1")

    assert said(caplog) == [LOST]
    session = await async_client.asession()
    assert await session.aget("seen") == "in time"


@pytest.mark.django_db(transaction=True)
async def test_part_of_a_page_may_change_the_session(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await async_client.get("/remembering/?late=1")

    session = await async_client.asession()
    assert await session.aget("seen") == "too late"
    assert said(caplog) == []


def test_options_describe_the_view_and_run_no_part(client: Client) -> None:
    for accept in ACCEPTS:
        response = client.options("/steps/", headers={"Accept": accept})

        assert response.status_code == 200
        assert response["Content-Type"] == "application/json"
        assert response.json()["renders"] == [
            "application/json",
            "application/x-ndjson",
            "text/event-stream",
        ]

    assert views.log == []


PREFERENCES = [
    ("application/x-ndjson, application/json", "application/json"),
    ("application/x-ndjson, application/json;q=0.9", NDJSON),
    ("application/json;q=0.1, text/event-stream;q=0.2", "text/event-stream"),
    ("*/*;q=0.1, application/x-ndjson", NDJSON),
    ("text/*", "text/event-stream"),
    ("application/*", "application/json"),
    ("application/json;q=0, application/*", NDJSON),
    ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ("APPLICATION/X-NDJSON ; Q=1", NDJSON),
    ("application/json; charset=utf-8; indent=4", "application/json"),
    ("application/x-ndjson;q=7", NDJSON),
    ("image/png, application/x-ndjson;q=0.001", NDJSON),
    ("," * 9000 + "application/x-ndjson", "application/json"),
]


@pytest.mark.parametrize(("accept", "media_type"), PREFERENCES)
async def test_representation_is_what_the_client_likes_best(
    async_client: AsyncClient, accept: str, media_type: str
) -> None:
    response = await async_client.get("/quick/", headers={"Accept": accept})

    assert response.status_code == 200
    assert response["Content-Type"] == media_type


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("json", "application/json"), ("ndjson", NDJSON), ("sse", "text/event-stream")],
)
async def test_format_overrides_accept(
    async_client: AsyncClient, name: str, media_type: str
) -> None:
    for accept in (*ACCEPTS, "image/png"):
        response = await async_client.get(
            f"/quick/?format={name}", headers={"Accept": accept}
        )

        assert response.status_code == 200
        assert response["Content-Type"] == media_type
