"""Rows that end real processes: by `os._exit`, and by taking all memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.db import connection, connections
from django.test import Client

from django_partstream.jobs import states
from django_partstream.models import Job, State
from tests import documents
from tests.app.models import Contract

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

#: Where tests.settings look for the name of the database.
NAMES = {"postgresql": "PGDATABASE", "mysql": "MYSQL_DATABASE"}


def work(job: Job, how: str) -> list[int]:
    """How each of the processes ended that worked on the job."""
    environment = dict(os.environ)
    vendor = connection.vendor

    if vendor in NAMES:
        environment[NAMES[vendor]] = str(connection.settings_dict["NAME"])

    # What is open here must not hold the file's lock.
    connections.close_all()
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.poisoned", str(job.pk), how],
        cwd=documents.ROOT,
        env=environment,
        check=True,
        capture_output=True,
        timeout=100,
    )
    ends: list[int] = json.loads(done.stdout)

    return ends


@pytest.mark.parametrize(
    ("how", "deaths", "words"),
    [
        ("exit", range(3, 8), "ends the worker's process"),
        ("memory", range(1), "raises"),
    ],
)
def test_the_row_is_found_and_every_other_is_written_once(
    client: Client, how: str, deaths: range, words: str
) -> None:
    numbers = [f"C{number}" for number in range(1, 61)]
    response = client.post(
        "/api/contracts/",
        "number,year\n" + "".join(f"{number},2024\n" for number in numbers),
        content_type="text/csv",
        headers={"Prefer": "respond-async"},
    )
    job = states.jobs().get(pk=response.json()["task_id"])

    *died, last = work(job, how)

    assert len(died) in deaths
    assert set(died) <= {77}
    assert last == 10
    job.refresh_from_db()
    assert (job.state, job.current, job.created, job.failed) == (
        State.SUCCESS,
        60,
        59,
        1,
    )
    written = Contract.objects.order_by("pk").values_list("number", flat=True)
    assert list(written) == [number for number in numbers if number != "C37"]
    error = job.sample["errors"][0]
    assert (error["row"], error["line"], error["data"]["number"]) == (37, 38, "C37")
    assert error["errors"][0]["code"] == "poison"
    assert words in error["error"]
    assert (job.narrowed_to, job.begun, job.attempts) == (None, 0, 0)
