"""Flights for the tests: the files, what must become of them, and how they are sent."""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Count, Sum

from asgi_example.flights.models import Flight
from django_partstream.jobs.execute import Pace, SliceEnd, run_slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "asgi_example" / "data"
JANUARY_FILE = DATA / "flights-2013-01.csv.gz"
YEAR_FILE = ROOT / "tests" / "data" / "flights-2013.csv.xz"

#: Where flights are loaded.
FLIGHTS = "/api/flights/?unique_fields=time_hour,carrier,flight"
TEXTS = {"carrier", "tailnum", "origin", "dest"}


@functools.cache
def january() -> bytes:
    return gzip.decompress(JANUARY_FILE.read_bytes())


@functools.cache
def airports() -> frozenset[str]:
    with (DATA / "airports.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["faa"] for row in csv.DictReader(file))


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode(), newline="")))


def refused_rows(rows: list[dict[str, str]]) -> list[int]:
    """Their numbers, from 1."""
    return [
        number
        for number, row in enumerate(rows, start=1)
        if row["dest"] not in airports()
    ]


def stored_rows(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if row["dest"] in airports()]


def value_of(column: str, cell: str) -> Any:
    if cell == "NA":
        return None

    if column == "time_hour":
        return datetime.fromisoformat(cell)

    return cell if column in TEXTS else int(cell)


def in_the_table(columns: Iterable[str]) -> set[tuple[Any, ...]]:
    return set(Flight.objects.values_list(*columns))


def in_the_file(rows: list[dict[str, str]]) -> set[tuple[Any, ...]]:
    return {
        tuple(value_of(column, cell) for column, cell in row.items())
        for row in stored_rows(rows)
    }


def store(text: bytes) -> None:
    """The flights of a file, past everything that is tested elsewhere."""
    attributes = {"carrier": "carrier_id", "origin": "origin_id", "dest": "dest_id"}
    Flight.objects.bulk_create(
        Flight(
            **{
                attributes.get(column, column): value_of(column, cell)
                for column, cell in row.items()
            }
        )
        for row in stored_rows(rows_of(text))
    )


def departure_delays() -> tuple[int, int]:
    """How many are known, and their sum in minutes."""
    found = Flight.objects.aggregate(known=Count("dep_delay"), sum=Sum("dep_delay"))
    return found["known"], found["sum"]


def send(client, body, *, content_type="text/csv", prefer="respond-async"):
    # Said twice: of an empty body the test client would not tell the type.
    return client.generic(
        "POST",
        FLIGHTS,
        body,
        content_type,
        headers={"Prefer": prefer},
        CONTENT_TYPE=content_type,
    )


def finish(client, accepted) -> dict[str, Any]:
    """Work on the job to its end; its status then."""
    assert accepted.status_code == 202, accepted.content
    end = SliceEnd.RELEASED

    while end is SliceEnd.RELEASED:
        end = run_slice(
            UUID(accepted.json()["task_id"]),
            worker="test",
            pace=Pace(commit=0.25),
            stopping=lambda: False,
            on_change=lambda job: None,
        )

    assert end is SliceEnd.FINISHED
    return dict(client.get(accepted.json()["status_url"]).json())


def refused_lines(client, accepted) -> list[dict[str, Any]]:
    response = client.get(accepted.json()["results_url"], {"outcome": "failed"})
    return [json.loads(line) for line in response.getvalue().splitlines()]


def pages(client, url: str) -> Iterator[dict[str, Any]]:
    """All pages of a progressive view."""
    cursor: str | None = ""

    while cursor is not None:
        page = client.get(f"{url}?cursor={cursor}" if cursor else url).json()
        cursor = page["cursor"]
        yield page


#: The first line of January, and five flights; the fourth goes to no known airport.
HEADER, *ROWS = january().splitlines(keepends=True)[:6]
COLUMNS = HEADER.rstrip().split(b",")
