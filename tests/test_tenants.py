"""Two tenants, every method, format and mode: no row seen, written or guessed across
the line."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_partstream.models import Job
from tests.app.models import Product
from tests.test_upserts import run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/our-products/"
SECRET = "secret-of-bob"
FORMATS = ("application/json", "application/x-ndjson", "text/csv")
PREFERENCES = ("", "return=minimal", "handling=lenient", "tx=rollback", "respond-async")
#: Method, query, and whether rows name what is there by its primary key.
REQUESTS = (
    ("POST", "", False),
    ("POST", "?unique_fields=code", False),
    ("POST", "?unique_fields=serial", False),
    ("POST", "?unique_fields=id", True),
    ("PATCH", "", True),
    ("PATCH", "?unique_fields=code", False),
    ("PUT", "", True),
    ("PUT", "?unique_fields=shelf,slot", False),
    ("DELETE", "", True),
    ("DELETE", "?unique_fields=code", False),
)
BY_ROWS = "/api/our-products-by-rows/"
#: Together, one by one, and at the addresses beside the collection.
CASES = [
    *itertools.product([URL], REQUESTS, FORMATS, PREFERENCES),
    *itertools.product([BY_ROWS], REQUESTS, FORMATS[:1], PREFERENCES),
    *itertools.product([f"{URL}operations/", f"{URL}bulk/"], REQUESTS, FORMATS, [""]),
    *itertools.product([f"{URL}upsert/"], REQUESTS[1:4], FORMATS[:1], [""]),
]


def encoded(rows: list[dict[str, Any]], content_type: str) -> bytes:
    if content_type == "application/json":
        return json.dumps(rows).encode()

    if content_type == "application/x-ndjson":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    lines = [",".join(rows[0])]
    lines += [",".join(map(str, row.values())) for row in rows]

    return "\n".join(lines).encode()


def said_of(client: Client, response: Any) -> str:
    """All that a caller can find out from the answer, and from its job."""
    said: str = response.content.decode()

    if response.status_code == 202:
        run(Job.objects.get(pk=response.json()["task_id"]))
        said += client.get(response.json()["status_url"]).content.decode()
        results = client.get(response.json()["results_url"])
        said += b"".join(results).decode()

    return said


@pytest.mark.parametrize(("url", "request_", "content_type", "prefer"), CASES)
def test_what_is_anothers_is_neither_written_nor_told(
    url: str, request_: tuple[str, str, bool], content_type: str, prefer: str
) -> None:
    method, query, by_pk = request_
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    theirs = Product.objects.create(
        code="T", serial=77, shelf="x", slot=7, price=5, tenant=SECRET
    )
    before = Product.objects.filter(pk=theirs.pk).values().get()
    row = {"code": "T", "serial": 77, "shelf": "x", "slot": 7, "price": 1}
    row = {**row, "tenant": "ann"}

    if by_pk:
        row = {"id": theirs.pk, **row}

    if method == "DELETE":
        row = {"id": theirs.pk} if by_pk else {"code": "T"}

    response = client.generic(
        method,
        url + query,
        encoded([row], content_type),
        content_type=content_type,
        headers={"Prefer": prefer} if prefer else {},
    )

    said = said_of(client, response)
    assert response.status_code in (207, 202, 400), said
    assert Product.objects.filter(pk=theirs.pk).values().get() == before
    assert Product.objects.count() == 1
    assert SECRET not in said
    assert '"price":5' not in said


@pytest.mark.parametrize("by", ["ids", "list", "detail"])
def test_what_is_anothers_is_not_read(by: str) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    theirs = Product.objects.create(code="T", serial=77, tenant=SECRET)

    paths = {"ids": f"?ids={theirs.pk},0", "list": "", "detail": f"{theirs.pk}/"}

    response = client.get(URL + paths[by])

    assert SECRET not in response.content.decode()

    if by == "ids":
        # A row of another tenant is as missing as one that never was.
        assert response.json()["missing"] == [theirs.pk, 0]


def test_a_key_of_anothers_looks_as_one_that_was_never_there() -> None:
    """By primary key nothing can be found out at all."""
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))
    theirs = Product.objects.create(pk=70_001, code="T", serial=77, tenant=SECRET)
    never = theirs.pk + 1

    for method, rows in [
        ("PATCH", lambda pk: [{"id": pk, "price": 1}]),
        ("PUT", lambda pk: [{"id": pk, "code": "N", "serial": 1}]),
        ("DELETE", lambda pk: [pk]),
    ]:
        answers = [
            client.generic(
                method, URL, json.dumps(rows(pk)), content_type="application/json"
            ).content.replace(str(pk).encode(), b"?")
            for pk in (theirs.pk, never)
        ]

        assert answers[0] == answers[1]
