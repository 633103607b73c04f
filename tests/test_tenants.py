"""Two tenants, every method, format and mode: no row seen, written or guessed across
the line."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from django_partstream.models import Job
from tests.app.models import Product
from tests.forms import cases
from tests.test_upserts import run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

URL = "/api/our-products/"
#: One by one.
BY_ROWS = "/api/our-products-by-rows/"
SECRET = "secret-of-bob"
NDJSON = "application/x-ndjson"
FORMATS = ("application/json", NDJSON, "text/csv")
CODINGS = ("identity", "gzip")
ANSWERS = ("application/json", NDJSON)
PREFERENCES = ("", "return=minimal", "handling=lenient", "tx=rollback", "respond-async")
#: Method, query, and whether rows name what is there by its primary key.
UPSERTS = (
    ("POST", "?unique_fields=code", False),
    ("POST", "?unique_fields=serial", False),
    ("POST", "?unique_fields=id", True),
    ("POST", "?unique_fields=code&update_fields=price", False),
    ("PATCH", "?unique_fields=code", False),
    ("PATCH", "?unique_fields=serial", False),
    ("PATCH", "?unique_fields=shelf,slot", False),
    ("PUT", "?unique_fields=code", False),
    ("PUT", "?unique_fields=shelf,slot", False),
)
REQUESTS = (
    ("POST", "", False),
    *UPSERTS,
    ("PATCH", "", True),
    ("PUT", "", True),
    ("DELETE", "", True),
    ("DELETE", "?unique_fields=code", False),
    ("DELETE", "?unique_fields=shelf,slot", False),
)
#: At the collection, and at the addresses beside it.
CASES = [
    *cases([URL, BY_ROWS], REQUESTS, FORMATS, PREFERENCES, CODINGS, ANSWERS),
    *cases(
        [f"{URL}operations/", f"{URL}bulk/"], REQUESTS, FORMATS, [""], CODINGS, ANSWERS
    ),
    *cases([f"{URL}upsert/"], UPSERTS, FORMATS, [""], CODINGS, ANSWERS),
]
#: What is asked, where; and whether the answer can be one of a job or a stream.
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


@pytest.fixture
def ann() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_user("ann"))

    return client


@pytest.fixture
def theirs() -> Product:
    return Product.objects.create(
        code="T", serial=77, shelf="x", slot=7, price=5, tenant=SECRET
    )


def encoded(rows: list[dict[str, Any]], content_type: str) -> bytes:
    if content_type == "application/json":
        return json.dumps(rows).encode()

    if content_type == "application/x-ndjson":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    lines = [",".join(rows[0])]
    lines += [",".join(map(str, row.values())) for row in rows]

    return "\n".join(lines).encode()


def text_of(response: Any) -> str:
    body = b"".join(response) if response.streaming else response.content

    return str(body.decode())


def said_of(client: Client, response: Any) -> str:
    """All that a caller can find out from the answer, and from its job."""
    said = text_of(response)

    if response.status_code == 202:
        accepted = json.loads(said)
        run(Job.objects.get(pk=accepted["task_id"]))
        said += text_of(client.get(accepted["status_url"]))
        said += text_of(client.get(accepted["results_url"]))
        said += text_of(client.get(f"{accepted['results_url']}?outcome=failed"))

    return said


def a_row(theirs: Product, method: str, query: str, *, by_pk: bool) -> dict[str, Any]:
    """What would change theirs, or end it."""
    if method == "DELETE":
        if by_pk:
            return {"id": theirs.pk}

        return {"code": "T"} if "code" in query else {"shelf": "x", "slot": 7}

    row = {"code": "T", "serial": 77, "shelf": "x", "slot": 7, "price": 1}

    return {**({"id": theirs.pk} if by_pk else {}), **row, "tenant": "ann"}


@pytest.mark.parametrize(
    ("url", "request_", "content_type", "prefer", "coding", "accept"), CASES
)
def test_what_is_anothers_is_neither_written_nor_told(
    ann: Client,
    theirs: Product,
    url: str,
    request_: tuple[str, str, bool],
    content_type: str,
    prefer: str,
    coding: str,
    accept: str,
) -> None:
    method, query, by_pk = request_
    before = Product.objects.filter(pk=theirs.pk).values().get()
    body = encoded([a_row(theirs, method, query, by_pk=by_pk)], content_type)

    response = ann.generic(
        method,
        url + query,
        gzip.compress(body) if coding == "gzip" else body,
        content_type=content_type,
        headers={"Prefer": prefer, "Content-Encoding": coding, "Accept": accept},
    )

    said = said_of(ann, response)
    assert response.status_code in (207, 202, 400), said
    assert Product.objects.filter(pk=theirs.pk).values().get() == before
    assert Product.objects.count() == 1
    assert SECRET not in said
    assert '"price":5' not in said


@pytest.mark.parametrize("accept", ANSWERS)
@pytest.mark.parametrize("by", ["ids", "list", "detail"])
def test_what_is_anothers_is_not_read(
    ann: Client, theirs: Product, by: str, accept: str
) -> None:
    paths = {"ids": f"?ids={theirs.pk},0", "list": "", "detail": f"{theirs.pk}/"}

    response = ann.get(URL + paths[by], headers={"Accept": accept})

    assert SECRET not in text_of(response)

    if by == "ids" and accept != NDJSON:
        # A row of another tenant is as missing as one that never was.
        assert response.json()["missing"] == [theirs.pk, 0]


@pytest.mark.parametrize(("method", "address", "body"), QUESTIONS)
@pytest.mark.parametrize("how", ["at once", "job", "stream"])
def test_no_question_finds_what_is_anothers(
    ann: Client, theirs: Product, method: str, address: str, body: Any, how: str
) -> None:
    text = json.dumps(body or {}).replace("{pk}", str(theirs.pk))
    headers = {
        "at once": {},
        "job": {"prefer": "respond-async"},
        "stream": {"accept": NDJSON},
    }[how]

    response = ann.generic(
        method,
        URL + address.replace("{pk}", str(theirs.pk)),
        b"" if body is None else text.encode(),
        content_type="application/json",
        headers=headers,
    )

    said = said_of(ann, response)

    if how == "stream":
        assert (response.status_code, said) == (200, "")
        return

    assert response.status_code == (202 if how == "job" else 200), said
    assert '"code":"T"' not in said
    assert '"price":5' not in said

    if how == "at once":
        assert json.loads(said)["results"] == []


@pytest.mark.parametrize("accept", ANSWERS)
@pytest.mark.parametrize("request_", UPSERTS)
def test_rows_of_ours_are_written_beside_one_of_anothers(
    ann: Client,
    theirs: Product,
    request_: tuple[str, str, bool],
    accept: str,
    settings: Any,
) -> None:
    """In answers of several pieces, too."""
    settings.PARTSTREAM = {"BATCH_SIZE": 1}
    method, query, by_pk = request_
    before = Product.objects.filter(pk=theirs.pk).values().get()
    ours = Product.objects.create(code="O", serial=1, shelf="o", slot=1, tenant="ann")
    last = Product.objects.create(code="L", serial=2, shelf="l", slot=2, tenant="ann")

    def given(row: Product) -> dict[str, Any]:
        names = ("id", "code", "serial", "shelf", "slot")
        kept = {name: getattr(row, name) for name in names[not by_pk :]}

        return {**kept, "price": 1, "tenant": "ann"}

    response = ann.generic(
        method,
        URL + query,
        encoded([given(ours), given(theirs), given(last)], "application/json"),
        content_type="application/json",
        headers={"Prefer": "handling=lenient", "Accept": accept},
    )

    said = text_of(response)
    assert response.status_code == 207, said
    assert Product.objects.filter(pk=theirs.pk).values().get() == before
    assert [*Product.objects.filter(tenant="ann").values_list("price", flat=True)] == [
        1,
        1,
    ]
    assert Product.objects.count() == 3
    assert SECRET not in said
    assert '"price":5' not in said


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
