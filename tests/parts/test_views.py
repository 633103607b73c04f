"""A progressive view as its clients see it: pages and NDJSON."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.base import BaseHandler
from django.db import connection, connections
from django.test import AsyncClient, AsyncRequestFactory, Client

from tests.parts import views
from tests.parts.merging import merge

pytestmark = pytest.mark.django_db


def pages(client: Client, url: str) -> list[dict[str, Any]]:
    """All pages, as the older guide's loop reads them."""
    base, found = url.partition("?")[0], []

    while True:
        response = client.get(url)
        assert response.status_code == 200, response.content
        found.append(response.json())

        if found[-1]["cursor"] is None:
            return found

        url = f"{base}?cursor={found[-1]['cursor']}"


def merged(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: data
        for one in found
        for result in one["results"]
        for name, data in result.items()
    }


async def lines(client: AsyncClient, url: str) -> list[dict[str, Any]]:
    response: Any = await client.get(url, headers={"Accept": "application/x-ndjson"})
    assert response.status_code == 200, response
    assert response["Content-Type"] == "application/x-ndjson"
    body = b"".join([chunk async for chunk in response])
    assert body.endswith(b"\n")

    return [json.loads(line) for line in body.splitlines()]


def test_pages_hold_the_parts_in_declared_order(client: Client) -> None:
    first, second = pages(client, "/shop/")

    assert first["results"] == [
        {"meta": {"shop": "north"}},
        {"orders": [{"id": 1}, {"id": 2}]},
    ]
    assert first["meta"] == {
        "total_parts": 3,
        "current_chunk_size": 2,
        "has_more": True,
    }
    assert second["results"] == [{"stock": {"apples": 4}}]
    assert second["cursor"] is None
    assert second["meta"]["has_more"] is False
    assert "errors" not in first


def test_a_follow_up_sees_the_first_requests_query(client: Client) -> None:
    found = pages(client, "/shop/?include_analytics=1&chunk_size=1")

    assert [len(one["results"]) for one in found] == [1, 1, 1, 1]
    assert merged(found)["analytics"] == {"visits": 3}


def test_a_follow_up_may_ask_for_its_own_chunk_size(client: Client) -> None:
    first = client.get("/shop/?chunk_size=1").json()

    second = client.get(f"/shop/?cursor={first['cursor']}&chunk_size=50").json()

    assert [list(result) for result in second["results"]] == [["orders"], ["stock"]]


def test_some_parts_can_be_asked_for(client: Client) -> None:
    assert merged(pages(client, "/shop/?parts=stock,meta")) == {
        "meta": {"shop": "north"},
        "stock": {"apples": 4},
    }


async def test_frames_arrive_in_the_order_of_completion(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()
    monkeypatch.setattr(views.Patient, "may_end", may_end)
    response: Any = await async_client.get(
        "/patient/", headers={"Accept": "application/x-ndjson"}
    )
    body = b""

    async for chunk in response:
        body += chunk

        if b'"name":"stock"' in body:
            may_end.set()

    start, meta, stock, orders, end = map(json.loads, body.splitlines())

    assert start["type"] == "start"
    assert start["v"] == 1
    assert start["parts"] == ["meta", "orders", "stock"]
    assert (meta["name"], stock["name"], orders["name"]) == ("meta", "stock", "orders")
    assert orders["data"] == [{"id": 1}, {"id": 2}]
    assert orders["ms"] >= 45
    assert orders["cursor"] is None
    assert end == {
        "type": "end",
        "ok": 3,
        "failed": 0,
        "cursor": None,
        "reason": "complete",
    }


async def test_every_frames_cursor_owes_what_has_not_been_sent(
    async_client: AsyncClient,
) -> None:
    frames = await lines(async_client, "/shop/")
    sent: set[str] = set()

    for frame in frames[:-1]:
        sent |= {frame["name"]} if frame["type"] == "part" else set()
        rest = {"meta", "orders", "stock"} - sent

        if not rest:
            assert frame["cursor"] is None
            continue

        resumed = await lines(async_client, f"/shop/?cursor={frame['cursor']}")
        assert set(resumed[0]["parts"]) == rest
        assert {one["name"] for one in resumed if one["type"] == "part"} == rest


async def test_a_cut_stream_resumes_as_pages(async_client: AsyncClient) -> None:
    frames = await lines(async_client, "/shop/?include_analytics=1")
    meta = next(frame for frame in frames if frame.get("name") == "meta")

    response = await async_client.get(
        f"/shop/?cursor={meta['cursor']}&chunk_size=9",
        headers={"Accept": "application/json"},
    )

    assert set(merged([response.json()])) == {"orders", "stock", "analytics"}


async def test_the_stream_says_how_it_wants_to_be_carried(
    async_client: AsyncClient,
) -> None:
    response: Any = await async_client.get(
        "/shop/", headers={"Accept": "application/x-ndjson"}
    )
    _ = [chunk async for chunk in response]

    assert response["Cache-Control"] == "no-store, no-transform"
    assert response["X-Accel-Buffering"] == "no"
    assert "Accept" in response["Vary"]
    assert response["Content-Encoding"] == "identity"
    assert "Content-Length" not in response


async def test_six_sync_parts_run_at_once(async_client: AsyncClient) -> None:
    frames = await lines(async_client, "/six/")

    assert sorted(frame["data"] for frame in frames if frame["type"] == "part") == [
        *range(6)
    ]


async def test_a_failed_part_fails_alone_and_tells_nothing(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    frames = await lines(async_client, "/failing/")
    errors = {frame["name"]: frame["error"] for frame in frames if "error" in frame}

    assert {frame["name"] for frame in frames if frame["type"] == "part"} == {"good"}
    assert {name: error["code"] for name, error in errors.items()} == {
        "raises": "failed",
        "unencodable": "unencodable",
        "slow": "timeout",
        "own_timeout": "failed",
    }
    assert errors["raises"]["detail"] == "This part could not be made."
    assert errors["slow"]["detail"] == "This part took longer than 0.05 s."
    assert errors["slow"]["status"] == 504
    assert (frames[-1]["ok"], frames[-1]["failed"]) == (1, 4)
    assert "hunter2" in caplog.text


def test_a_failed_part_is_null_on_its_page(client: Client) -> None:
    found = client.get("/failing/?chunk_size=9").json()

    assert merged([found])["raises"] is None
    assert merged([found])["good"] == 1
    assert [error["part"] for error in found["errors"]] == [
        "raises",
        "unencodable",
        "slow",
        "own_timeout",
    ]


def test_with_debug_on_the_error_is_told(client: Client, settings: Any) -> None:
    settings.DEBUG = True

    found = client.get("/failing/?parts=raises").json()

    assert found["errors"][0]["detail"] == "RuntimeError: password=hunter2"


def test_parts_see_the_rows_of_the_callers_transaction(client: Client) -> None:
    get_user_model().objects.create_user("ann")
    get_user_model().objects.create_user("bob")

    found = client.get("/users/").json()

    assert merged([found]) == {
        "values": [{"username": "ann"}, {"username": "bob"}],
        "names": ["ann", "bob"],
        "count": 2,
        "async_count": 2,
        "generated": ["ann", "bob"],
        "instances": None,
    }
    assert found["errors"][0]["code"] == "unencodable"


@pytest.mark.django_db(transaction=True)
async def test_parts_read_the_database_in_their_own_threads(
    async_client: AsyncClient,
) -> None:
    await get_user_model().objects.acreate(username="ann")

    frames = await lines(async_client, "/users/")

    data = merge(frames).data
    assert data["values"] == [{"username": "ann"}]
    assert data["names"] == data["generated"] == ["ann"]
    assert data["count"] == data["async_count"] == 1


def test_an_async_get_parts_is_awaited(client: Client) -> None:
    assert merged([client.get("/async-declared/").json()]) == {"count": 0}


async def test_language_and_time_zone_hold_inside_parts(
    async_client: AsyncClient,
) -> None:
    frames = await lines(async_client, "/locale/")

    assert frames[1]["data"] == ["de", "Asia/Tokyo"]


def test_permissions_are_asked_before_the_first_byte(client: Client) -> None:
    response = client.get("/private/", headers={"Accept": "application/x-ndjson"})

    assert response.status_code == 403
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Authentication credentials were not provided.",
        "code": "not_authenticated",
    }


def test_another_users_cursor_is_refused(client: Client) -> None:
    ann = get_user_model().objects.create_user("ann")
    bob = get_user_model().objects.create_user("bob")
    client.force_login(ann)
    cursor = client.get("/private/?chunk_size=1").json()["cursor"]
    assert client.get(f"/private/?cursor={cursor}").status_code == 200
    client.force_login(bob)

    response = client.get(f"/private/?cursor={cursor}")

    assert response.status_code == 400
    assert response.json()["code"] == "cursor_invalid"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cursor=garbage", 400, "cursor_invalid"),
        ("cursor=%00%ff", 400, "cursor_invalid"),
        ("cursor=" + "x" * 5000, 400, "cursor_invalid"),
        ("parts=nothing", 400, "unknown_part"),
        ("chunk_size=0", 400, "bad_request"),
        ("chunk_size=-1", 400, "bad_request"),
        ("chunk_size=1e9", 400, "bad_request"),
        ("chunk_size=%D9%A3", 400, "bad_request"),
        ("a=" + "x" * 1100, 414, "query_too_long"),
        ("format=xml", 404, "not_found"),
    ],
)
def test_a_bad_query_is_a_problem(
    client: Client, query: str, status: int, code: str
) -> None:
    response = client.get(f"/shop/?{query}")

    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == code


def test_a_cursor_is_for_its_address(client: Client) -> None:
    cursor = client.get("/shop/north/").json()["cursor"]

    assert client.get(f"/shop/north/?cursor={cursor}").status_code == 200
    assert client.get(f"/shop/south/?cursor={cursor}").status_code == 400


def test_a_part_list_that_changes_neither_skips_nor_repeats(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/shrinking/").json()
    monkeypatch.setattr(views.Shrinking, "names", ["new", "c", "a"])

    second = client.get(f"/shrinking/?cursor={first['cursor']}").json()

    assert first["results"] == [{"a": "A"}]
    assert second["results"] == [{"b": None}, {"c": "C"}]
    assert second["errors"][0]["code"] == "gone"
    assert second["errors"][0]["part"] == "b"
    assert second["cursor"] is None


async def test_after_the_deadline_the_rest_is_owed_and_cancelled(
    async_client: AsyncClient,
) -> None:
    views.CLOSED.clear()

    frames = await lines(async_client, "/endless/")

    assert frames[-1]["reason"] == "deadline"
    assert frames[-1]["ok"] == 1
    assert views.CLOSED == ["never"]
    resumed = await lines(async_client, f"/endless/?cursor={frames[-1]['cursor']}")
    assert resumed[0]["parts"] == ["never"]


async def test_a_client_that_leaves_ends_the_work_without_the_collector(
    async_rf: AsyncRequestFactory,
) -> None:
    views.CLOSED.clear()
    request = async_rf.get("/", headers={"Accept": "application/x-ndjson"})
    response = await views.Endless.as_view()(request)
    gc.disable()

    try:
        stream = aiter(response)
        assert b'"start"' in await anext(stream)
        # Before a part has ended, all have begun.
        assert b'"quick"' in await anext(stream)
        # What Django's handler does when the client has gone.
        await stream.aclose()
    finally:
        gc.enable()

    assert views.CLOSED == ["never"]


def test_a_view_without_a_list_says_so_in_the_log_only(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get("/no-list/")

    assert response.status_code == 500
    assert response.json()["detail"] == (
        "The list of parts is not one that can be served."
    )
    assert "get_parts() returned None" in caplog.text


def test_other_methods_are_problems_too(client: Client) -> None:
    response = client.post("/shop/")

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, OPTIONS"
    assert response["Content-Type"] == "application/problem+json"


def test_under_wsgi_a_stream_is_answered_as_pages(client: Client) -> None:
    response = client.get("/shop/", headers={"Accept": "application/x-ndjson"})

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json()["meta"]["total_parts"] == 3


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/shop/", 200),
        ("/api/operations/6f1ecbc1-9f0d-4cd0-8a4d-3d0f0e7a1b11/events/", 404),
        ("/api/operations/6f1ecbc1-9f0d-4cd0-8a4d-3d0f0e7a1b11/results/", 404),
    ],
)
async def test_atomic_requests_break_no_async_view(
    async_client: AsyncClient, monkeypatch: Any, address: str, status: int
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)

    response = await async_client.get(address)

    assert response.status_code == status


def test_atomic_requests_of_another_database_break_no_view(monkeypatch: Any) -> None:
    other = {**connections.settings["default"], "ATOMIC_REQUESTS": True}
    monkeypatch.setitem(connections.settings, "other", other)
    view = views.Shop.as_view()

    assert BaseHandler().make_view_atomic(view) is view
