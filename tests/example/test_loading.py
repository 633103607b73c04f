"""Flights by HTTP, against the known answers."""

from __future__ import annotations

import lzma
from collections import Counter
from typing import Any

import pytest

from asgi_example.flights.models import Airport, Flight
from tests.forms import LONG, count

from .flights import (
    HEADER,
    ROWS,
    YEAR_FILE,
    airports,
    departure_delays,
    finish,
    in_the_file,
    in_the_table,
    january,
    refused_lines,
    refused_rows,
    rows_of,
    send,
)

JANUARY_REFUSED = {"SJU": 486, "BQN": 93, "STT": 70, "PSE": 31}
YEAR_REFUSED = {"SJU": 5819, "BQN": 896, "STT": 522, "PSE": 365}

pytestmark = pytest.mark.urls("asgi_example.urls")


def test_january_is_stored_once_and_what_cannot_be_is_named(client, reference):
    rows = rows_of(january())

    accepted = send(client, january())
    status = finish(client, accepted)

    assert accepted.json()["total_items"] == len(rows) == 27_004
    assert accepted.headers["Location"] == accepted.json()["status_url"]
    assert status["state"] == "SUCCESS"
    assert status["progress"]["current"] == status["progress"]["total"] == 27_004
    assert status["progress"]["percentage"] == 100.0
    result = status["result"]
    assert result["operation_type"] == "async_upsert"
    assert (result["created_count"], result["error_count"]) == (26_324, 680)
    assert (result["updated_count"], result["unchanged_count"]) == (0, 0)
    assert result["errors"][0]["row"] == 4
    assert in_the_table(rows[0]) == in_the_file(rows)
    assert Flight.objects.count() == 26_324
    assert departure_delays() == (25_804, 261_671)
    assert_refused(refused_lines(client, accepted), rows, JANUARY_REFUSED)
    assert_second_load_creates_nothing(client, accepted)


def assert_second_load_creates_nothing(client: Any, loaded: Any) -> None:
    columns = ["pk", "time_hour", "carrier", "flight", "dep_delay"]
    before = in_the_table(columns)

    again = send(client, january())
    status = finish(client, again)

    result = status["result"]
    assert result["created_count"] == 0
    assert result["updated_count"] + result["unchanged_count"] == 26_324
    assert result["error_count"] == 680
    assert refused_lines(client, again) == refused_lines(client, loaded)
    assert in_the_table(columns) == before


def test_refused_rows_are_stored_once_their_airports_are_known(client, reference):
    few = b"".join(january().splitlines(keepends=True)[:1000])
    first = send(client, few)
    refused_before = finish(client, first)["result"]["error_count"]

    for faa in JANUARY_REFUSED:
        Airport.objects.create(faa=faa, name=faa, lat=0, lon=0, alt=0, tz=-4, dst="N")

    refused = client.get(
        first.json()["results_url"], headers={"Accept": "text/csv"}
    ).getvalue()
    result = finish(client, send(client, refused))["result"]

    assert refused_before == len(refused_rows(rows_of(few))) > 10
    assert (result["created_count"], result["error_count"]) == (refused_before, 0)
    assert Flight.objects.count() == 999


def assert_refused(
    lines: list[dict[str, Any]], rows: list[dict[str, str]], by_dest: dict[str, int]
) -> None:
    """Exactly the rows to unknown airports, in input order, each with its reason."""
    assert lines[0] == {
        "row": 4,
        "line": 5,
        "outcome": "failed",
        "pk": None,
        "data": rows[3],
        "errors": [
            {
                "pointer": "/dest",
                "code": "does_not_exist",
                "detail": 'Invalid pk "BQN" - object does not exist.',
            }
        ],
    }
    assert [line["row"] for line in lines] == refused_rows(rows)
    assert [line["data"] for line in lines] == [rows[n - 1] for n in refused_rows(rows)]
    assert Counter(line["data"]["dest"] for line in lines) == by_dest
    assert {
        (error["pointer"], error["code"]) for line in lines for error in line["errors"]
    } == {("/dest", "does_not_exist")}


@pytest.mark.large
@pytest.mark.timeout(900)
def test_whole_year_is_stored_as_a_job_without_being_asked(client, reference):
    """In the short form, its first weeks."""
    year = lzma.decompress(YEAR_FILE.read_bytes())
    year = b"".join(year.splitlines(keepends=True)[: count(15_001, 336_777)])
    rows = rows_of(year)
    refused = len(refused_rows(rows))

    accepted = send(client, year, prefer="")
    status = finish(client, accepted)

    assert accepted.json()["total_items"] == len(rows) == count(15_000, 336_776)
    result = status["result"]
    assert status["state"] == "SUCCESS"
    assert (result["created_count"], result["error_count"]) == (
        len(rows) - refused,
        refused,
    )
    assert in_the_table(rows[0]) == in_the_file(rows)
    by_dest = Counter(rows[number - 1]["dest"] for number in refused_rows(rows))
    assert_refused(refused_lines(client, accepted), rows, by_dest)

    if LONG:
        assert refused == 7_602
        assert departure_delays() == (320_960, 4_078_312)
        assert by_dest == YEAR_REFUSED


def test_few_rows_are_answered_at_once_and_all_or_none(client, reference):
    refused = send(client, HEADER + b"".join(ROWS), prefer="")
    good = [row for row in ROWS if row.split(b",")[13].decode() in airports()]
    stored = send(client, HEADER + b"".join(good), prefer="")

    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_rows"
    assert refused.json()["rows"] == [
        {
            "row": 4,
            "line": 5,
            "errors": [
                {
                    "pointer": "/dest",
                    "code": "does_not_exist",
                    "detail": 'Invalid pk "BQN" - object does not exist.',
                }
            ],
        }
    ]
    assert stored.status_code == 200
    assert [flight["flight"] for flight in stored.json()] == [1545, 1714, 1141, 461]
    assert Flight.objects.count() == 4


def test_everything_else_is_plain_rest(client, reference):
    send(client, HEADER + b"".join(ROWS[:3]), prefer="")

    flights = client.get("/api/flights/").json()
    flight = client.get(f"/api/flights/{Flight.objects.get(flight=1545).pk}/").json()
    made = client.post("/api/airlines/", {"carrier": "ZZ", "name": "New"})

    assert len(flights if isinstance(flights, list) else flights["results"]) == 3
    assert (flight["carrier"], flight["origin"], flight["dest"]) == ("UA", "EWR", "IAH")
    assert made.status_code == 201
    assert client.get("/api/airports/JFK/").json()["name"] == "John F Kennedy Intl"
    assert client.get("/api/planes/N14228/").json()["manufacturer"] == "BOEING"
