"""The dashboard, against the same numbers made from the files in plain Python."""

from __future__ import annotations

import csv
from collections import defaultdict
from typing import Any

import pytest

from .flights import DATA, january, pages, rows_of, store, stored_rows

pytestmark = pytest.mark.urls("asgi_example.urls")


def grouped(
    rows: list[dict[str, str]], *columns: str
) -> dict[tuple[str, ...], list[dict[str, str]]]:
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)

    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)

    return groups


def delays(rows: list[dict[str, str]]) -> list[int]:
    return [int(row["dep_delay"]) for row in rows if row["dep_delay"] != "NA"]


def average_delay(rows: list[dict[str, str]]) -> float | None:
    known = delays(rows)
    return round(sum(known) / len(known), 1) if known else None


def named(file: str, key: str) -> dict[str, dict[str, str]]:
    with (DATA / file).open(encoding="utf-8", newline="") as lines:
        return {row[key]: row for row in csv.DictReader(lines)}


def expected_dashboard(rows: list[dict[str, str]]) -> dict[str, Any]:
    """The parts, from the files alone."""
    carriers = named("airlines.csv", "carrier")
    places = named("airports.csv", "faa")
    planes = named("planes.csv", "tailnum")
    routes = grouped(rows, "origin", "dest").items()
    aircraft = [
        (tailnum, [row for row in flown if row["dep_delay"] != "NA"])
        for (tailnum,), flown in grouped(rows, "tailnum").items()
        if tailnum != "NA"
    ]

    return {
        "overview": {
            "flights": len(rows),
            "airlines": len(carriers),
            "airports": len(places),
            "planes": len(planes),
            "first_hour": min(row["time_hour"] for row in rows),
            "last_hour": max(row["time_hour"] for row in rows),
        },
        "busiest_routes": [
            {
                "origin": origin,
                "dest": dest,
                "dest_name": places[dest]["name"],
                "flights": len(flown),
                "average_delay": average_delay(flown),
            }
            for (origin, dest), flown in sorted(
                routes, key=lambda route: (-len(route[1]), *route[0])
            )[:10]
        ],
        "delays_by_carrier": [
            {
                "carrier": carrier,
                "name": carriers[carrier]["name"],
                "flights": len(flown),
                "late": sum(delay >= 15 for delay in delays(flown)),
                "average_delay": average_delay(flown),
            }
            for (carrier,), flown in sorted(grouped(rows, "carrier").items())
        ],
        "delays_by_hour": [
            {
                "hour": int(hour),
                "flights": len(flown),
                "average_delay": average_delay(flown),
            }
            for (hour,), flown in sorted(
                grouped(rows, "hour").items(), key=lambda group: int(group[0][0])
            )
        ],
        "monthly": [
            {
                "year": 2013,
                "month": 1,
                "flights": len(rows),
                "cancelled": sum(row["dep_time"] == "NA" for row in rows),
                "average_delay": average_delay(rows),
            }
        ],
        "slowest_aircraft": [
            {
                "tailnum": tailnum,
                "manufacturer": planes.get(tailnum, {}).get("manufacturer"),
                "model": planes.get(tailnum, {}).get("model"),
                "year": known_year(planes.get(tailnum, {})),
                "flights": len(flown),
                "delay_minutes": sum(delays(flown)),
                "average_delay": average_delay(flown),
            }
            for tailnum, flown in sorted(
                aircraft, key=lambda item: (-sum(delays(item[1])), item[0])
            )[:10]
        ],
    }


def known_year(plane: dict[str, str]) -> int | None:
    year = plane.get("year", "NA")
    return None if year == "NA" else int(year)


def test_dashboard_is_what_the_files_say(client, reference):
    few = b"".join(january().splitlines(keepends=True)[:8_000])
    store(few)

    got = list(pages(client, "/api/dashboard/"))

    parts = [part for page in got for part in page["results"]]
    expected = expected_dashboard(stored_rows(rows_of(few)))
    assert [next(iter(part)) for part in parts] == list(expected)
    assert {name: data for part in parts for name, data in part.items()} == expected
    assert [page["meta"]["has_more"] for page in got] == [True, True, False]


def test_dashboard_of_no_flights_is_empty_not_broken(client, reference):
    parts = [
        part for page in pages(client, "/api/dashboard/") for part in page["results"]
    ]

    assert parts[0]["overview"]["flights"] == 0
    assert parts[0]["overview"]["first_hour"] is None
    assert parts[1:] == [
        {"busiest_routes": []},
        {"delays_by_carrier": []},
        {"delays_by_hour": []},
        {"monthly": []},
        {"slowest_aircraft": []},
    ]
