"""What an upload may be: JSON, NDJSON and CSV, as a body or a form, compressed."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import encode_multipart
from django.utils.crypto import get_random_string

from django_partstream.models import Job
from tests.app.models import Contract
from tests.test_upserts import run

pytestmark = pytest.mark.django_db

URL = "/api/contracts/?unique_fields=number"
ROWS = [{"number": f"C{n}", "year": 2000 + n} for n in range(5)]
BODIES = {
    "application/json": json.dumps(ROWS).encode(),
    "application/x-ndjson": b"".join(json.dumps(row).encode() + b"\n" for row in ROWS),
    "text/csv": b"number,year\n"
    + b"".join(f"{row['number']},{row['year']}\n".encode() for row in ROWS),
}
PACKERS: dict[str, Any] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def stored() -> list[dict[str, Any]]:
    return [
        dict(row)
        for row in Contract.objects.order_by("number").values("number", "year")
    ]


def form(name: str, data: bytes, content_type: str, coding: str) -> tuple[bytes, str]:
    file = SimpleUploadedFile(name, data, content_type=content_type)
    body = encode_multipart("boundary", {"unique_fields": "number", "file": file})

    return PACKERS[coding](body), "multipart/form-data; boundary=boundary"


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("content_type", BODIES)
@pytest.mark.parametrize("prefer", ["return=representation", "respond-async"])
def test_every_form_of_the_same_rows_stores_the_same(
    client: Client, content_type: str, coding: str, prefer: str
) -> None:
    response = client.post(
        URL,
        PACKERS[coding](BODIES[content_type]),
        content_type=content_type,
        headers={"Content-Encoding": coding, "Prefer": prefer},
    )

    if prefer == "respond-async":
        assert response.status_code == 202, response.content
        job = run(Job.objects.get())
        assert (job.state, job.created) == ("SUCCESS", 5)
    else:
        assert response.status_code == 200, response.content
        assert [row["number"] for row in response.json()] == [
            row["number"] for row in ROWS
        ]

    assert stored() == ROWS


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.parametrize("content_type", [*BODIES, "application/octet-stream"])
def test_a_file_in_a_form_is_what_it_says_or_csv(
    client: Client, content_type: str, coding: str
) -> None:
    data = BODIES.get(content_type, BODIES["text/csv"])
    body, kind = form("rows.data", data, content_type, coding)

    response = client.post(
        "/api/contracts/", body, content_type=kind, headers={"Content-Encoding": coding}
    )

    assert response.status_code == 200, response.content
    assert stored() == ROWS


def test_a_compressed_form_passes_the_csrf_check_of_sessions() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.create_user("ann"))
    body, kind = form("rows.csv", BODIES["text/csv"], "text/csv", "gzip")
    headers = {"Content-Encoding": "gzip"}
    client.cookies["csrftoken"] = token = get_random_string(32)

    refused = client.post("/api/contracts/", body, content_type=kind, headers=headers)
    taken = client.post(
        "/api/contracts/",
        body,
        content_type=kind,
        headers={**headers, "X-CSRFToken": token},
    )

    assert refused.status_code == 403
    assert taken.status_code == 200, taken.content
    assert stored() == ROWS


@pytest.mark.parametrize("content_type", [*BODIES, "multipart/form-data"])
def test_a_bomb_is_413_and_stores_nothing(
    client: Client, settings: Any, content_type: str
) -> None:
    settings.PARTSTREAM = {"MAX_DECOMPRESSED_BYTES": 500_000}
    body = gzip.compress(BODIES.get(content_type, b"") + b" " * 20_000_000)

    if content_type == "multipart/form-data":
        body, content_type = form(
            "b.csv", BODIES["text/csv"] + b"\n" * 20_000_000, "text/csv", "gzip"
        )

    response = client.post(
        URL, body, content_type=content_type, headers={"Content-Encoding": "gzip"}
    )

    assert response.status_code == 413, response.content
    assert response.json()["code"] == "too_large"
    assert stored() == []


@pytest.mark.parametrize("content_type", [*BODIES, "multipart/form-data"])
@pytest.mark.parametrize(
    ("coding", "body", "status", "code"),
    [
        ("gzip", b"number,year\nC1,1\n", 400, "undecodable"),
        ("gzip", gzip.compress(b"x" * 999)[:-9], 400, "undecodable"),
        ("br", b"x", 415, "unsupported_media_type"),
    ],
)
def test_what_cannot_be_inflated_is_a_problem(
    client: Client, content_type: str, coding: str, body: bytes, status: int, code: str
) -> None:
    if content_type == "multipart/form-data":
        content_type += "; boundary=boundary"

    response = client.post(
        URL, body, content_type=content_type, headers={"Content-Encoding": coding}
    )

    assert response.status_code == status, response.content
    assert response.json()["code"] == code


def test_one_bad_line_of_ndjson_names_itself(client: Client) -> None:
    body = BODIES["application/x-ndjson"] + b'{"number": "C9"\n'

    response = client.post(URL, body, content_type="application/x-ndjson")

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_rows"
    row = response.json()["rows"][0]
    assert (row["row"], row["line"]) == (6, 6)
    assert row["errors"][0]["code"] == "parse_error"
    assert stored() == []


def test_an_upload_without_a_declared_length_is_read(rf: Any) -> None:
    """As HTTP/1.1 sends it in chunks; over ASGI no length comes with it."""
    from django.core.handlers.asgi import ASGIRequest

    from tests.app.views import ContractViewSet

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"unique_fields=number",
        "headers": [(b"content-type", b"application/json")],
    }
    request = ASGIRequest(scope, io.BytesIO(BODIES["application/json"]))

    response = ContractViewSet.as_view({"post": "create"})(request)

    assert response.status_code == 200, response.data
    assert stored() == ROWS
