"""The Python of the older guide: what each of its views is said to do."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import re
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.urls import resolve, reverse
from django.utils import timezone

from django_partstream import PartEvent, observe, unobserve
from tests.app.models import Comment, Follow, Like, Order, Post
from tests.guide import views
from tests.guide.conftest import fill_shop
from tests.guide.reading import errors, pages, parts

pytestmark = pytest.mark.django_db


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no year, day or hour ends meanwhile."""
    now = timezone.localtime().replace(hour=12, minute=0)
    monkeypatch.setattr(timezone, "now", lambda: now)


# Basic use.


def test_the_smallest_view(client: Client, shop: None) -> None:
    found = parts(client, "/api/minimal/")

    stamp = datetime.datetime.fromisoformat(found["meta"]["timestamp"])
    assert timezone.now() - stamp < datetime.timedelta(minutes=1)
    assert found["data"] == {"customers": 2}


def test_the_answer_has_the_shape_of_the_guide(client: Client, shop: None) -> None:
    page = client.get("/api/dashboard/").json()

    assert [*page] == ["results", "cursor", "meta"]
    assert [[*result] for result in page["results"]] == [["overview"], ["orders"]]
    assert page["meta"] == {
        "total_parts": 3,
        "current_chunk_size": 2,
        "has_more": True,
    }
    assert isinstance(page["cursor"], str)


def test_no_cursor_stands_beside_has_more_false(client: Client, shop: None) -> None:
    """The older guide shows an answer that does."""
    for page in (*pages(client, "/api/minimal/"), *pages(client, "/api/dashboard/")):
        assert (page["cursor"] is not None) is page["meta"]["has_more"]


def test_two_parts_a_request_in_declared_order(client: Client, shop: None) -> None:
    first, second = pages(client, "/api/dashboard/")

    assert first["results"][0]["overview"]["customers"] == 2
    assert [order["customer"] for order in first["results"][1]["orders"]] == [
        "Ann",
        "Ann",
        "Bob",
    ]
    assert second["results"] == [
        {"analytics": {"revenue": 60.0, "orders_per_customer": 1.5}}
    ]


def test_the_view_has_an_address_of_a_name() -> None:
    assert reverse("dashboard") == "/api/dashboard/"
    view: Any = resolve("/api/dashboard/").func
    assert view.cls is views.OverviewView


def test_a_lazy_part_is_made_when_its_page_is_asked_for(client: Client) -> None:
    first = client.get("/api/mobile/").json()
    assert first["results"] == [{"immediate": {"fast": "data"}}]
    assert not views.CALLS

    second = client.get(f"/api/mobile/?cursor={first['cursor']}").json()
    assert second["results"] == [{"lazy": 1}]
    assert views.CALLS == {"expensive": 1}


def test_the_first_answer_does_not_wait_for_what_is_slow(client: Client) -> None:
    """What the older readme begins with; `test_servers` has it in seconds."""
    first = client.get("/api/counting/?chunk_size=1").json()

    assert first["meta"]["has_more"]
    assert views.CALLS["expensive"] == 0


@pytest.mark.parametrize(
    ("url", "sizes"),
    [
        ("/api/mobile/", [1, 1, 1]),
        ("/api/counting/", [2, 1]),
        ("/api/desk/", [3]),
        ("/api/desk/?chunk_size=2", [2, 1]),
    ],
)
def test_chunk_size_says_how_many_parts_a_request_gets(
    client: Client, url: str, sizes: list[int]
) -> None:
    found = pages(client, url)

    assert [page["meta"]["current_chunk_size"] for page in found] == sizes
    assert [len(page["results"]) for page in found] == sizes


def test_a_cursor_expires_after_cursor_ttl(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = client.get("/api/short-lived/").json()["cursor"]
    desk = client.get("/api/desk/?chunk_size=1").json()["cursor"]
    counting = client.get("/api/counting/").json()["cursor"]
    later = datetime.datetime.now().timestamp() + 1801

    monkeypatch.setattr("django.core.signing.time.time", lambda: later)

    for url in (f"/api/short-lived/?cursor={short}", f"/api/desk/?cursor={desk}"):
        response = client.get(url)
        assert response.status_code == 410
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "cursor_expired"
        assert response.json()["detail"] == (
            "The cursor has expired. Start again without a cursor."
        )

    # An hour where nothing is said.
    assert client.get(f"/api/counting/?cursor={counting}").status_code == 200


# Robustness.


def test_a_part_that_fails_has_its_fallback(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "django_partstream"):
        [page] = pages(client, "/api/robust/")

    assert page["results"][1:] == [
        {"parcels": None},
        {"carrier": {"error": "Service unavailable"}},
    ]
    assert "errors" not in page
    assert "safe_call: RobustView.track_parcels failed" in caplog.text
    assert "CarrierDown: key=secret" in caplog.text


def test_without_safe_call_the_part_alone_fails(client: Client) -> None:
    [page] = pages(client, "/api/unguarded/")

    assert page["results"] == [{"carrier": None}, {"answer": 42}]
    assert [error["code"] for error in page["errors"]] == ["failed"]
    assert "secret" not in str(page)


def test_a_part_that_takes_too_long_times_out(client: Client) -> None:
    [page] = pages(client, "/api/timeout/")

    assert page["results"] == [{"slow": None}, {"in_time": "here"}]
    [error] = page["errors"]
    assert error["code"] == "timeout"
    assert error["status"] == 504
    assert error["detail"] == "This part took longer than 0.05 s."


def test_what_is_cached_is_made_once(client: Client) -> None:
    for _ in range(3):
        parts(client, "/api/counting/")

    assert views.CALLS == {"expensive": 3, "cached": 1}


def test_an_observer_hears_of_a_hit(client: Client) -> None:
    heard: list[PartEvent] = []

    with contextlib.ExitStack() as stack:
        stack.callback(unobserve, heard.append)
        observe(heard.append)
        parts(client, "/api/counting/")
        parts(client, "/api/counting/")

    assert [
        (event.part, event.cached) for event in heard if event.kind == "finished"
    ] == [
        *(("immediate", False), ("lazy", False), ("cached", False)),
        *(("immediate", False), ("lazy", False), ("cached", True)),
    ]


@pytest.mark.parametrize("name", ["robust", "unguarded", "timeout", "counting"])
async def test_a_stream_has_what_the_pages_have(
    async_client: AsyncClient, name: str
) -> None:
    pages = (await async_client.get(f"/api/{name}/?chunk_size=9")).json()
    response: Any = await async_client.get(f"/api/{name}/?format=ndjson")
    body = b"".join([block async for block in response])
    frames = [json.loads(line) for line in body.splitlines()]

    data = {frame["name"]: frame.get("data") for frame in frames if "name" in frame}
    codes = {
        frame["name"]: frame["error"]["code"] for frame in frames if "error" in frame
    }

    assert data.keys() == {name for result in pages["results"] for name in result}
    assert codes == {error["part"]: error["code"] for error in pages.get("errors", [])}

    for result in pages["results"]:
        for part, value in result.items():
            assert part in ("meta", "lazy") or data[part] == value


@pytest.mark.usefixtures("noon")
def test_a_platform_for_analytics(client: Client, ann: Any) -> None:
    fill_shop()
    client.force_login(ann)
    first, second = pages(client, "/api/analytics/")

    assert [[*result] for result in first["results"]] == [["meta"], ["realtime"]]
    assert first["results"][1] == {"realtime": {"orders": 3, "for": "ann"}}
    assert second["results"] == [
        {"historical": [{"placed__year": timezone.localdate().year, "orders": 3}]},
        {"predictions": {"next_order": 20.0}},
    ]

    Order.objects.all().delete()
    assert parts(client, "/api/analytics/")["realtime"]["orders"] == 3
    assert views.CALLS == {"realtime of ann": 1}


def test_a_cached_part_is_never_another_users(
    client: Client, shop: None, ann: Any, bob: Any
) -> None:
    for user in (ann, bob, ann, bob):
        client.force_login(user)
        found = parts(client, "/api/analytics/")
        assert found["realtime"]["for"] == user.username

    client.logout()
    assert parts(client, "/api/analytics/")["realtime"]["for"] == ""
    assert views.CALLS == {
        "realtime of ann": 1,
        "realtime of bob": 1,
        "realtime of ": 1,
    }


def test_what_is_cached_may_be_instances_with_a_serializer(
    client: Client, shop: None
) -> None:
    before = parts(client, "/api/latest/")
    assert [(one["customer"], one["total"]) for one in before["latest"]] == [
        ("Ann", "10.00"),
        ("Ann", "20.00"),
    ]

    Order.objects.all().delete()

    assert parts(client, "/api/latest/") == before
    assert views.CALLS == {"latest": 1}


def test_a_part_may_use_the_cache_by_hand(client: Client, shop: None) -> None:
    for _ in range(2):
        assert parts(client, "/api/by-hand/") == {"analytics": {"orders": 3}}

    assert views.CALLS == {"by hand": 1}


# Lists of parts that depend on who asks for what.


def test_parts_depend_on_the_user(
    client: Client, shop: None, ann: Any, bob: Any
) -> None:
    assert parts(client, "/api/conditional/") == {"public": 2}

    client.force_login(bob)
    assert parts(client, "/api/conditional/") == {"public": 2, "own": "bob"}

    client.force_login(ann)
    assert parts(client, "/api/conditional/") == {
        "public": 2,
        "own": "ann",
        "admin": 2,
    }


def test_a_part_that_was_lost_on_the_way_is_gone(
    client: Client, shop: None, ann: Any
) -> None:
    client.force_login(ann)
    first = client.get("/api/conditional/?chunk_size=1").json()
    ann.is_staff = False
    ann.save()

    second = client.get(f"/api/conditional/?cursor={first['cursor']}").json()

    assert second["results"] == [{"admin": None}, {"own": "ann"}]
    assert [error["code"] for error in second["errors"]] == ["gone"]


def test_parts_depend_on_the_query(client: Client, shop: None) -> None:
    meta = {"shop": "north"}

    assert parts(client, "/api/dynamic/") == {"meta": meta}
    assert parts(client, "/api/dynamic/?include_analytics=1") == {
        "meta": meta,
        "analytics": 3,
    }
    # The follow-ups say the cursor alone, one part a page.
    assert parts(client, "/api/dynamic/?include_analytics=1&include_reports=q3") == {
        "meta": meta,
        "analytics": 3,
        "reports": {"of": "q3"},
    }


@pytest.mark.django_db(transaction=True)
async def test_a_list_of_parts_may_be_a_generator(
    async_client: AsyncClient, shop: None
) -> None:
    page = (await async_client.get("/api/yielding/")).json()

    assert page["results"] == [{"apples": 3}, {"pears": 50}]


# Whole dashboards.


def test_a_shop_is_for_those_who_are_logged_in(
    client: Client, shop: None, bob: Any
) -> None:
    assert client.get("/api/shop/").status_code == 403

    client.force_login(bob)
    first, second = pages(client, "/api/shop/")

    assert first["results"][0] == {"overview": {"store": "North", "user": "bob"}}
    assert [order["total"] for order in first["results"][1]["recent_orders"]] == [
        "30.00",
        "20.00",
        "10.00",
    ]
    assert first["results"][2] == {"inventory_alerts": [{"name": "apples", "stock": 3}]}
    assert second["results"] == [
        {"sales_analytics": {"revenue": 60.0, "mean": 20.0}},
        {"customer_insights": {"customers": 2, "lifetime_value": 30.0}},
    ]


def test_a_shop_without_customers_is_a_shop(client: Client, bob: Any) -> None:
    client.force_login(bob)

    found = parts(client, "/api/shop/")

    assert found["customer_insights"] is None
    assert found["sales_analytics"] == {"revenue": None, "mean": None}


@pytest.mark.usefixtures("noon")
def test_the_shops_admin_sees_today(client: Client, ann: Any, bob: Any) -> None:
    fill_shop()
    client.force_login(bob)
    assert client.get("/api/shop-admin/").status_code == 403

    client.force_login(ann)
    assert parts(client, "/api/shop-admin/")["today"] == {
        "orders": 3,
        "revenue": 60.0,
        "new_customers": 2,
    }


def test_a_social_dashboard_is_of_its_user(client: Client, ann: Any, bob: Any) -> None:
    Follow.objects.create(follower=bob, followed=ann)
    seven = timezone.localtime().replace(hour=7)
    Post.objects.create(author=bob, text="not mine")
    posts = [
        Post.objects.create(author=ann, text=text, written=seven)
        for text in ("old", "new")
    ]
    Like.objects.create(post=posts[0])
    Comment.objects.create(post=posts[0], text="nice")
    Comment.objects.create(post=posts[1], text="nice too")

    client.force_login(ann)

    assert parts(client, "/api/social/") == {
        "profile": {"username": "ann", "followers": 1, "following": 0},
        "recent_posts": [{"text": "old"}, {"text": "new"}],
        "engagement": {"likes": 1, "comments": 2},
        "best_hour": {"written__hour": 7, "likes": 1},
    }


# Performance.


def test_good_querysets_need_few_queries(
    client: Client, shop: None, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1 + 3 + 3 + 6 + 2):  # in a savepoint each
        naive = parts(client, "/api/naive-orders/")

    with django_assert_num_queries(3 + 2):
        good = parts(client, "/api/good-orders/")

    assert good["orders"] == naive["orders"][::-1]
    assert good["orders"][0]["lines"][0] == {"ware": "apples", "amount": 1}


def test_a_part_can_be_timed_by_hand(client: Client, shop: None, settings: Any) -> None:
    parts(client, "/api/debug/")
    assert views.TIMINGS == []

    settings.DEBUG = True
    parts(client, "/api/debug/")
    assert len(views.TIMINGS) == 1
    assert re.fullmatch(r"3 orders took \d+\.\d\d seconds", views.TIMINGS[0])


# From other approaches.


def test_a_plain_view_moves_with_its_serializer(client: Client, shop: None) -> None:
    before = client.get("/api/plain/").json()

    assert parts(client, "/api/moved/") == before


def test_model_instances_without_a_serializer_are_refused(
    client: Client, shop: None, settings: Any
) -> None:
    """The older guide's own migration example."""
    found = errors(client, "/api/moved-as-it-was/")

    assert {name: error["code"] for name, error in found.items()} == {
        "orders": "unencodable",
        "first": "unencodable",
    }
    assert parts(client, "/api/moved-as-it-was/")["analytics"] == {"revenue": 60.0}

    settings.DEBUG = True
    found = errors(client, "/api/moved-as-it-was/")
    assert found["first"]["detail"] == (
        "UnencodableError: Cannot encode a value of type 'app.Order': a model instance "
        "is never dumped, because every column would leak. Name a serializer with "
        "lazy(..., serializer=...), or return .values(...)."
    )
    assert "at '/0': a model instance is never dumped" in found["orders"]["detail"]
