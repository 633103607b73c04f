"""What is not a file of flights: a problem that says so, and nothing else."""

from __future__ import annotations

import io

import pytest

from asgi_example.flights.models import Airline, Airport, Flight
from django_partstream.models import Job

from .flights import COLUMNS, FLIGHTS, HEADER, ROWS, rows_of, send

pytestmark = pytest.mark.urls("asgi_example.urls")


@pytest.fixture
def mentioned(db):
    """What good rows refer to: whatever is refused is refused for itself."""
    rows = rows_of(HEADER + b"".join(ROWS))
    Airline.objects.bulk_create(
        Airline(carrier=carrier, name=carrier)
        for carrier in sorted({row["carrier"] for row in rows})
    )
    Airport.objects.bulk_create(
        Airport(faa=faa, name=faa, lat=0, lon=0, alt=0, tz=-5, dst="A")
        for faa in sorted({row[end] for row in rows for end in ("origin", "dest")})
    )


def without(column: bytes) -> bytes:
    """Five rows without one of their columns."""
    at = COLUMNS.index(column)
    lines = [line.rstrip().split(b",") for line in (HEADER, *ROWS)]
    return b"".join(b",".join(line[:at] + line[at + 1 :]) + b"\n" for line in lines)


def renamed(column: bytes, name: bytes) -> bytes:
    return HEADER.replace(b"," + column + b",", b"," + name + b",") + b"".join(ROWS)


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"

#: What is sent, as what; the status, the code and the words of the answer.
BAD_UPLOADS = {
    "PNG": (PNG, "text/csv", 400, "not_csv", "The upload is not CSV: it is binary"),
    "HTML": (
        b"<!doctype html><title>Log in</title>",
        "text/csv",
        400,
        "not_csv",
        "The upload is not CSV: it begins like HTML or XML.",
    ),
    "JSON as CSV": (
        b'[{"year": 2013}]',
        "text/csv",
        400,
        "not_csv",
        "The upload is not CSV: it begins like JSON.",
    ),
    "CSV as JSON": (
        HEADER + ROWS[0],
        "application/json",
        400,
        "invalid_json",
        "it must be an array of objects, but begins with 'y'",
    ),
    "JSON that is cut off": (
        b'[{"year": 2013}, {"ye',
        "application/json",
        400,
        "invalid_json",
        "row 2",
    ),
    "unclosed quote": (
        HEADER + ROWS[0] + b'2013,"' + ROWS[1],
        "text/csv",
        400,
        "not_csv",
        "A quote is not closed in row 2, which begins on line 3.",
    ),
    "prose": (
        b"Dear colleagues,\nhere are the flights.\n",
        "text/csv",
        400,
        "invalid_columns",
        "Unknown columns: 'Dear colleagues', ''. Missing columns: 'year', 'month', ",
    ),
    "unknown column": (
        renamed(b"tailnum", b"tail_number"),
        "text/csv",
        400,
        "invalid_columns",
        "Unknown columns: 'tail_number'. Known columns: 'year', 'month', ",
    ),
    "missing column": (
        without(b"dest"),
        "text/csv",
        400,
        "invalid_columns",
        "Missing columns: 'dest'. Known columns: 'year', 'month', ",
    ),
    "missing key column": (
        without(b"time_hour"),
        "text/csv",
        400,
        "invalid_columns",
        "Missing columns: 'time_hour'. ",
    ),
    "doubled column": (
        renamed(b"tailnum", b"origin"),
        "text/csv",
        400,
        "invalid_columns",
        "Doubled columns: 'origin'. ",
    ),
    "no header": (
        b"".join(ROWS),
        "text/csv",
        400,
        "invalid_columns",
        "The first line must name the columns.",
    ),
    "Latin-1": (
        HEADER + ROWS[0] + ROWS[1].replace(b"N24211", b"N\xe4211"),
        "text/csv",
        400,
        "undecodable",
        "The upload is not utf-8: line 3, byte ",
    ),
    "unknown charset": (
        HEADER + ROWS[0],
        "text/csv; charset=klingon",
        415,
        "unsupported_media_type",
        "The charset 'klingon' is not supported. Send UTF-8.",
    ),
    "nothing": (b"", "text/csv", 400, "empty_upload", "The upload is empty."),
    "nothing as JSON": (b"", "application/json", 400, "empty_upload", "is empty."),
    "blank lines": (b"\n\n", "text/csv", 400, "empty_upload", "is empty."),
    "header only": (HEADER, "text/csv", 400, "empty_upload", "no rows"),
    "PDF": (
        b"%PDF-1.7",
        "application/pdf",
        415,
        "unsupported_media_type",
        "Send text/csv, application/json or application/x-ndjson",
    ),
    "too many bytes": (
        HEADER + b"".join(ROWS) * 10,
        "text/csv",
        413,
        "too_large",
        "at most 2000 are allowed. Split it.",
    ),
    "too many rows": (
        HEADER + b"".join(ROWS) + ROWS[0],
        "text/csv",
        413,
        "too_many_rows",
        "The upload has more than 5 rows. Split it.",
    ),
}


@pytest.mark.parametrize("prefer", ["respond-async", "return=minimal"])
@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_bad_upload_is_a_clear_problem_and_leaves_nothing(
    client, mentioned, settings, name, prefer
):
    settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 2000, "MAX_ROWS": 5}
    body, content_type, status, code, words = BAD_UPLOADS[name]

    response = send(client, body, content_type=content_type, prefer=prefer)

    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["code"] == code
    assert words in problem["detail"]
    assert problem["type"]
    assert problem["title"]
    assert not Flight.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("name", ["unknown column", "Latin-1", "header only"])
def test_same_problem_answers_a_file_in_a_form(client, mentioned, name):
    body, _, status, code, words = BAD_UPLOADS[name]
    file = io.BytesIO(body)
    file.name = "flights.csv"

    response = client.post(FLIGHTS, {"file": file})

    assert response.status_code == status
    assert response.json()["code"] == code
    assert words in response.json()["detail"]
    assert not Flight.objects.exists()


@pytest.mark.parametrize("fields", ["", "nonsense", "carrier", "time_hour,nonsense"])
def test_fields_that_identify_nothing_are_refused_by_name(client, mentioned, fields):
    response = client.post(
        f"/api/flights/?unique_fields={fields}",
        HEADER + ROWS[0],
        content_type="text/csv",
    )

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_unique_fields"
    assert "time_hour" in response.json()["detail"]
    assert not Flight.objects.exists()
