"""Two tenants at the further addresses: no row seen, written or guessed across the
line, at once, by a job or in a stream."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from tests.app.models import Product
from tests.test_tenants import REQUESTS, SECRET, encoded, said_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/our-products/"
WRITES = [
    *itertools.product(REQUESTS, ("operations/", "bulk/")),
    *(
        (request, "upsert/")
        for request in REQUESTS
        if "unique_fields" in request[1] and request[0] != "DELETE"
    ),
]
QUESTIONS: list[tuple[str, str, Any]] = [
    ("GET", "operations/", None),
    ("GET", "operations/?ids={pk}", None),
    ("GET", "operations/", {"filters": {"price": 5}}),
    ("GET", "operations/", {"filters": {"tenant": SECRET}}),
    ("GET", "bulk/", {"filters": {"code": {"startswith": "T"}}}),
    ("POST", "operations/query/", {"filters": {"serial": {"gte": 0}}}),
    ("POST", "operations/query/", {"ids": ["{pk}"]}),
    ("POST", "bulk/query/", {"filters": {"tenant": {"icontains": "secret"}}}),
]


@pytest.fixture(autouse=True)
def at_home(settings: Any, addresses: None) -> None:
    settings.ROOT_URLCONF = "tests.urls"


@pytest.fixture
def theirs() -> Product:
    return Product.objects.create(
        code="T", serial=77, shelf="x", slot=7, price=5, tenant=SECRET
    )


@pytest.fixture
def ann() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))

    return client


@pytest.mark.parametrize(("request_", "address"), WRITES)
@pytest.mark.parametrize("content_type", ["application/json", "text/csv"])
def test_what_is_anothers_is_neither_written_nor_told(
    ann: Client,
    theirs: Product,
    request_: tuple[str, str, bool],
    address: str,
    content_type: str,
) -> None:
    method, query, by_pk = request_
    before = Product.objects.filter(pk=theirs.pk).values().get()
    row = {"code": "T", "serial": 77, "shelf": "x", "slot": 7, "price": 1}
    row = {**row, "tenant": "ann"}

    if by_pk:
        row = {"id": theirs.pk, **row}

    if method == "DELETE":
        row = {"id": theirs.pk} if by_pk else {"code": "T"}

    response = ann.generic(
        method,
        URL + address + query,
        encoded([row], content_type),
        content_type=content_type,
    )

    said = said_of(ann, response)
    assert response.status_code in (202, 400), said
    assert Product.objects.filter(pk=theirs.pk).values().get() == before
    assert Product.objects.count() == 1
    assert SECRET not in said
    assert '"price":5' not in said


@pytest.mark.parametrize(("method", "address", "body"), QUESTIONS)
@pytest.mark.parametrize("how", ["at once", "job", "stream"])
def test_what_is_anothers_is_not_read(
    ann: Client, theirs: Product, method: str, address: str, body: Any, how: str
) -> None:
    text = json.dumps(body or {}).replace("{pk}", str(theirs.pk))
    headers = {
        "at once": {},
        "job": {"prefer": "respond-async"},
        "stream": {"accept": "application/x-ndjson"},
    }[how]

    response = ann.generic(
        method,
        URL + address.replace("{pk}", str(theirs.pk)),
        b"" if body is None else text.encode(),
        content_type="application/json",
        headers=headers,
    )

    if how == "stream":
        assert response.status_code == 200
        assert b"".join(response) == b""
        return

    said = said_of(ann, response)
    assert response.status_code == (202 if how == "job" else 200), said
    assert '"code":"T"' not in said
    assert '"price":5' not in said

    if how == "at once":
        assert response.json()["results"] == []
