"""What `docs/jobs.md` says is so: its snippets are run, its tables are complete."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import logging
import logging.config
import re
import shlex
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command, load_command_class
from prometheus_client import CollectorRegistry, generate_latest

from django_partstream import JobEvent, conf, unobserve_jobs
from django_partstream.contrib import prometheus
from django_partstream.jobs import heartbeat, states
from django_partstream.jobs.execute import Pace, SliceEnd, run_slice
from django_partstream.loading import command
from django_partstream.models import Worker
from tests import documents

DOCUMENT = "docs/jobs.md"
TEXT = (documents.ROOT / DOCUMENT).read_text(encoding="utf-8")
BLOCKS = documents.blocks(DOCUMENT)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def module():
    """The Python of the document, as one module."""
    made = documents.run_python(DOCUMENT)
    yield made
    unobserve_jobs(made.log_takeovers)


def ask(client: Any, line: str, addresses: dict[str, str]) -> Any:
    """What a curl command of the document asks for. `{status_url}` in its address is
    what an answer before has named."""
    program, *words = shlex.split(line)
    assert program == "curl"
    method, headers, body, rest = "GET", {}, "", iter(words)

    for word in rest:
        match word:
            case "-X":
                method = next(rest)
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "--data-binary":
                assert next(rest) == "@contracts.csv"
                body = next(block.text for block in BLOCKS if block.kind == "csv")
            case _:
                path = word.removeprefix("localhost:8000").format(**addresses)

    content_type = headers.pop("Content-Type", "")

    return client.generic(method, path, body, content_type, headers=headers)


def work() -> None:
    """Work on every job there is, as a worker would."""
    for job_id in states.jobs().values_list("pk", flat=True):
        run_slice(
            job_id,
            worker="test:1",
            pace=Pace(),
            stopping=lambda: False,
            on_change=lambda job: None,
        )


def test_every_request_is_answered_as_shown(client: Any) -> None:
    addresses: dict[str, str] = {}
    asked = 0

    for block, answer in itertools.pairwise(BLOCKS):
        if block.kind != "sh":
            continue

        response = ask(client, block.text, addresses)
        asked += 1

        if answer.kind == "json":
            found = response.json()
            assert documents.is_like(json.loads(answer.text), found), found
            addresses |= {k: v for k, v in found.items() if k.endswith("_url")}
        else:
            found = response.getvalue().decode().replace("\r\n", "\n")
            assert found == answer.text

        work()

    assert asked == 4


def test_the_python_runs_and_enables_the_metrics(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled = []
    monkeypatch.setattr(prometheus, "enable_jobs", lambda: enabled.append(True))

    module.ShopConfig.ready(object())

    assert enabled == [True]


def test_the_observer_tells_of_takeovers(
    module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    event = JobEvent(kind="claimed", job_id=UUID(int=7), takeover=True)

    module.log_takeovers(event)

    assert caplog.messages == [f"job {UUID(int=7)} was taken over"]


def test_the_formatter_shows_the_id_of_the_job(module: Any) -> None:
    logger = logging.getLogger("django_partstream")
    before = (logger.handlers[:], logger.level)
    logging.config.dictConfig(module.LOGGING)
    [handler] = [h for h in logger.handlers if h not in before[0]]
    stream = io.StringIO()
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)

    try:
        logger.warning("it is late", extra={"job_id": "7"})
        logger.warning("it is late")
    finally:
        logger.handlers[:], logger.level = before

    assert stream.getvalue() == "WARNING job=7 it is late\nWARNING job=- it is late\n"


def test_every_metric_is_listed() -> None:
    Worker.objects.create(
        name="w", queue="database", started_at=states.after(0), seen_at=states.after(0)
    )
    registry = CollectorRegistry()
    unobserve_jobs(prometheus.enable_jobs(registry))
    told = re.findall(
        r"^# TYPE (\w+) ", generate_latest(registry).decode(), re.MULTILINE
    )
    # prometheus-client's own, when each counter began.
    made = {name for name in told if not name.endswith("_created")}
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `part"))
    shown = table.replace("`…_", "`partstream_worker_")

    assert made == set(re.findall(r"`(partstream_\w+)`", shown))
    assert len(heartbeat.COUNTED) == 7


def test_every_way_in_which_a_slice_ends_is_listed() -> None:
    [row] = [
        line for line in TEXT.splitlines() if "partstream_job_slices_total" in line
    ]

    assert set(re.findall(r"`([a-z]+)`", row)) - {"end"} == {
        end.name.lower() for end in SliceEnd if end is not SliceEnd.NOT_CLAIMED
    }


def test_every_queue_is_listed() -> None:
    rows = re.findall(r'^\| `"(\w+)"`', TEXT, re.MULTILINE)

    assert rows == ["embedded", "database", "arq"]
    assert conf.Settings().queue == rows[0]


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in BLOCKS
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("python ")
    ],
)
def test_every_command_line_is_one(line: str) -> None:
    words = shlex.split(line)

    if words[1] == "-m":
        assert words[2] == "django_partstream"
        parsed = command._parser().parse_args(words[3:])
        assert parsed.unique_fields == "number"
        return

    parser = load_command_class("django_partstream", words[2]).create_parser(
        "manage.py", words[2]
    )

    assert isinstance(parser.parse_args(words[3:]), argparse.Namespace)


def test_the_exit_codes_are_those_of_the_loader() -> None:
    shown = re.findall(r"^\| (\d) \| ", TEXT, re.MULTILINE)

    assert [int(code) for code in shown] == [
        command.ALL_WRITTEN,
        command.SOME_FAILED,
        command.REFUSED,
    ]


def test_every_setting_that_is_named_is_one() -> None:
    named = set(re.findall(r"`([A-Z_]{5,})`", TEXT))

    # Django's, a method and a state.
    assert named - {*conf.NAMES} == {"ALLOWED_HOSTS", "DELETE", "CANCELLING"}


def test_a_job_that_is_shown_and_does_not_exist_is_said() -> None:
    with pytest.raises(CommandError, match="There is no job 7c0f0f52-"):
        call_command("partstream_jobs", "show", "7c0f0f52-5ad5-4e6c-8f0c-2f2b8d1c9a01")
