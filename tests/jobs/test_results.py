"""What became of a job's rows, downloaded, corrected and sent again."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient, Client
from hypothesis import given
from hypothesis import strategies as st

from django_partstream import result_files
from django_partstream.bulk import rows
from django_partstream.bulk.row import FORMULA_STARTS, escaped, unescaped
from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.models import Job
from tests.app.models import Contract
from tests.jobs.conftest import Run
from tests.jobs.work import make_job

pytestmark = pytest.mark.django_db(transaction=True)

OWN = list(result_files.OWN_COLUMNS)
FILE = (
    "number;year;amount\n"
    "C1;2024;NA\n"
    "\n"
    "C2;then;2.5\n"
    '"C3\nof two lines";2025;\n'
    "=C4;never;1\n"
)


def submit(client: Client, body: Any, content_type: str = "text/csv") -> Job:
    response = client.post(
        "/api/contracts/?unique_fields=number",
        body,
        content_type=content_type,
        headers={"Prefer": "respond-async"},
    )
    assert response.status_code == 202, response.content

    return Job.objects.get(pk=response.json()["task_id"])


def run(job: Job, **options: Any) -> Job:
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(commit=0.001),
        stopping=options.pop("stopping", lambda: False),
        on_change=lambda job: None,
    )
    job.refresh_from_db()

    return job


def download(client: Client, job: Job, outcome: str, *, form: str = "ndjson") -> bytes:
    response = client.get(
        f"/api/operations/{job.pk}/results/?outcome={outcome}&format={form}"
    )
    assert response.status_code == 200, response.content
    assert f'filename="{outcome}-{job.pk}.{form}"' in response["Content-Disposition"]

    return b"".join(response)


def lines(client: Client, job: Job, outcome: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in download(client, job, outcome).splitlines()]


def cells(client: Client, job: Job, outcome: str) -> list[dict[str, str]]:
    text = download(client, job, outcome, form="csv").decode()

    return [*csv.DictReader(io.StringIO(text, newline=""))]


@pytest.mark.database
def test_every_row_is_in_one_of_the_outcomes_with_its_line(client: Client) -> None:
    job = run(submit(client, FILE))
    stored = {c.number: c.pk for c in Contract.objects.all()}

    assert lines(client, job, "successful") == [
        {
            "row": 1,
            "line": 2,
            "outcome": "created",
            "pk": stored["C1"],
            "data": {"number": "C1", "year": "2024", "amount": "NA"},
            "errors": [],
        },
        {
            "row": 3,
            "line": 5,
            "outcome": "created",
            "pk": stored["C3\nof two lines"],
            "data": {"number": "C3\nof two lines", "year": "2025", "amount": ""},
            "errors": [],
        },
    ]
    failed = lines(client, job, "failed")
    assert [(row["row"], row["line"], row["pk"]) for row in failed] == [
        (2, 4, None),
        (4, 7, None),
    ]
    assert failed[0]["data"] == {"number": "C2", "year": "then", "amount": "2.5"}
    assert failed[0]["errors"] == [
        {
            "pointer": "/year",
            "code": "invalid",
            "detail": "A valid integer is required.",
        }
    ]
    assert lines(client, job, "unprocessed") == []


@pytest.mark.database
def test_an_upsert_says_of_each_row_what_it_did(client: Client) -> None:
    old = Contract.objects.create(number="C2", year=1)
    Contract.objects.create(number="C1", year=2024)

    job = run(submit(client, "number,year\nC2,2\nC1,2024\nC3,3\n"))

    found = lines(client, job, "successful")
    assert [row["data"]["number"] for row in found] == ["C2", "C1", "C3"]
    assert [row["outcome"] for row in found] == ["updated", "unchanged", "created"]
    assert found[0]["pk"] == old.pk


def test_as_csv_it_has_the_columns_of_the_input_and_ours(client: Client) -> None:
    job = run(submit(client, FILE))

    assert cells(client, job, "failed")[1] == {
        "number": "'=C4",
        "year": "never",
        "amount": "1",
        "_row": "4",
        "_outcome": "failed",
        "_pk": "",
        "_errors": "year: A valid integer is required.",
    }
    first = cells(client, job, "successful")[0]
    assert [*first] == ["number", "year", "amount", *OWN]
    assert (first["_outcome"], first["_errors"]) == ("created", "")
    assert first["_pk"] == str(Contract.objects.get(number="C1").pk)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_failed_file_that_was_corrected_is_accepted_as_it_is(
    client: Client, form: str
) -> None:
    job = run(submit(client, FILE))
    text = download(client, job, "failed", form=form)
    corrected = text.replace(b"then", b"2026").replace(b"never", b"2027")

    again = run(
        submit(
            client, corrected, "text/csv" if form == "csv" else "application/x-ndjson"
        )
    )

    assert (again.created, again.failed) == (2, 0)
    assert {*Contract.objects.values_list("number", "year")} == {
        ("C1", 2024),
        ("C2", 2026),
        ("C3\nof two lines", 2025),
        ("=C4", 2027),
    }


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_rows_that_came_as_json_go_as_json(client: Client, content_type: str) -> None:
    given: list[Any] = [
        {"number": "C1", "year": 2024, "amount": None},
        {"number": "C2", "year": None},
        ["no", "object"],
    ]
    text = (
        json.dumps(given)
        if content_type == "application/json"
        else "\n".join(map(json.dumps, given))
    )

    job = run(submit(client, text, content_type))

    assert [row["data"] for row in lines(client, job, "successful")] == given[:1]
    assert [row["data"] for row in lines(client, job, "failed")] == given[1:]
    table = cells(client, job, "failed")
    assert (table[0]["number"], table[0]["year"], table[1]["number"]) == ("C2", "", "")
    assert "account" in table[0]


@pytest.mark.database
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_the_rows_after_a_cancelled_jobs_cursor_are_unprocessed(
    client: Client, settings: Any, form: str
) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 10}
    head = "number,year\n"
    job = submit(client, head + "".join(f"C{n},{n}\n" for n in range(1, 101)))
    commits = iter([False, False, True])
    run(job, stopping=lambda: next(commits))
    refused = client.get(f"/api/operations/{job.pk}/results/?outcome=unprocessed")
    assert refused.status_code == 409
    assert refused.json()["code"] == "job_unfinished"
    states.cancel(job.pk)
    done = Contract.objects.count()
    assert 0 < done < 100

    left = lines(client, job, "unprocessed")
    assert [row["row"] for row in left] == [*range(done + 1, 101)]
    assert left[0] == {
        "row": done + 1,
        "line": done + 2,
        "outcome": "unprocessed",
        "pk": None,
        "data": {"number": f"C{done + 1}", "year": str(done + 1)},
        "errors": [],
    }

    rest = download(client, job, "unprocessed", form=form)
    again = run(
        submit(client, rest, "text/csv" if form == "csv" else "application/x-ndjson")
    )
    assert again.created == 100 - done
    assert Contract.objects.count() == 100


def test_work_that_does_not_tell_of_each_row_is_told_by_its_failures(
    client: Client, run: Run
) -> None:
    job = make_job(15)
    run(job)

    found = lines(client, job, "successful")

    assert [row["row"] for row in found] == [n for n in range(1, 16) if n % 7]
    assert found[0]["outcome"] == "created"
    assert lines(client, job, "unprocessed") == []


async def test_under_asgi_it_is_streamed(async_client: AsyncClient) -> None:
    job = await sync_to_async(submit)(Client(), FILE)
    await sync_to_async(run)(job)

    response: Any = await async_client.get(
        f"/api/operations/{job.pk}/results/?outcome=successful"
    )

    assert response.is_async
    text = b"".join([piece async for piece in response])
    assert [json.loads(line)["row"] for line in text.splitlines()] == [1, 3]
    await sync_to_async(connections.close_all)()


@pytest.mark.parametrize("outcome", ["successful", "failed"])
def test_memory_does_not_grow_with_the_rows(
    client: Client, settings: Any, outcome: str
) -> None:
    settings.PARTSTREAM = {"BATCH_SIZE": 500, "SYNC_MAX_ROWS": 1}
    year = "2024" if outcome == "successful" else "never"

    def peak(count: int) -> int:
        text = "number,year\n" + "".join(f"C{n},{year}\n" for n in range(count))
        job = run(submit(client, text))
        del text
        response = client.get(f"/api/operations/{job.pk}/results/?outcome={outcome}")
        tracemalloc.start()

        try:
            size = sum(map(len, response))
            assert size > count * 100
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(500), peak(4_000)

    assert many < few + 1_000_000, (few, many)


CELLS = st.text(
    st.one_of(
        st.sampled_from(["'", '"', ",", "\n", "\r", *FORMULA_STARTS]),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    max_size=8,
)


@given(cell=st.one_of(CELLS, st.floats().map(str)))
def test_a_cell_is_the_same_after_a_round_trip(cell: str) -> None:
    assert unescaped(escaped(cell)) == cell


@given(table=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_a_file_of_any_cells_is_read_as_it_was_written(
    table: list[tuple[str, str]],
) -> None:
    job = Job(spec={"dialect": {"columns": ["number", "name"]}})
    results = (
        {
            "row": number,
            "outcome": "failed",
            "pk": None,
            "error": "=bad",
            "data": {"number": one, "name": other},
        }
        for number, (one, other) in enumerate(table, start=1)
    )
    text = b"".join(result_files.as_csv(job, results))

    dialect = rows.inspect(
        io.BytesIO(text),
        content_type="text/csv",
        charset=None,
        known=["number", "name"],
        required=[],
        max_rows=100,
    ).dialect
    read = [row.data for row, _ in rows.read(io.BytesIO(text), dialect)]

    assert read == [{"number": one, "name": other} for one, other in table]


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_no_cell_is_run_by_a_spreadsheet(start: str) -> None:
    assert escaped(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"
    assert escaped("-7.5") == "-7.5"
