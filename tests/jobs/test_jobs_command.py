"""`manage.py partstream_jobs`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from django_partstream.errors import BusyError
from django_partstream.jobs import states
from django_partstream.management.commands import partstream_jobs
from django_partstream.models import Job, State
from tests.jobs.conftest import Run
from tests.jobs.work import KIND, make_job, written

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.django_db(transaction=True)


def jobs(*arguments: Any) -> tuple[str, int]:
    """What the command prints, and its exit code."""
    out = io.StringIO()
    code: Any = 0

    try:
        call_command("partstream_jobs", *map(str, arguments), stdout=out)
    except SystemExit as stop:
        code = stop.code

    return out.getvalue(), code


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada")


def test_list_shows_the_newest_first(ada: Any, run: Run) -> None:
    older = make_job(35, owner=ada)
    run(older)
    newer = make_job(5)

    head, first, second = jobs("list")[0].splitlines()

    assert head.split() == ["id", "state", "kind", "owner", "rows", "failed", "created"]
    assert first.split()[:3] == [str(newer.pk), "PENDING", KIND]
    assert second.split()[:8] == [
        *(str(older.pk), "SUCCESS", KIND, "ada", "35", "of", "35", "5"),
    ]


def test_list_is_narrowed_by_state_owner_and_number(ada: Any, run: Run) -> None:
    done = make_job(5, owner=ada)
    run(done)
    waiting = [make_job(5), make_job(5)]

    def listed(*options: str) -> list[str]:
        out, _ = jobs("list", "--json", *options)
        return [json.loads(line)["task_id"] for line in out.splitlines()]

    assert listed("--state", "SUCCESS") == [str(done.pk)]
    assert listed("--state", "SUCCESS", "--state", "PENDING", "--limit", "2") == [
        str(waiting[1].pk),
        str(waiting[0].pk),
    ]
    assert listed("--owner", "ada") == [str(done.pk)]
    assert listed("--owner", "grace") == []
    assert jobs("list", "--owner", "grace")[0] == "There are no such jobs.\n"


def test_list_takes_one_query_and_leaves_large_columns(
    ada: Any, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        make_job(5, owner=ada)

    with django_assert_num_queries(1) as queries:
        jobs("list")

    sql = queries.captured_queries[0]["sql"]
    assert '"spec"' not in sql
    assert '"cursor"' not in sql


def test_show_tells_one_job_and_its_first_errors(run: Run) -> None:
    job = make_job(100)
    run(job)

    lines = jobs("show", job.pk)[0].splitlines()

    assert lines[:3] == [
        f"job       {job.pk} of nobody, {KIND}",
        "state     SUCCESS: The job is complete.",
        "rows      100 of 100 (100.0 %): 86 created, 14 failed",
    ]
    assert lines[6] == "row 7: 7"
    assert lines[-2:] == ["row 70: 7", "… and 4 more"]


def test_show_tells_who_works_on_it() -> None:
    job = make_job(5)
    states.claim(job.pk, "host:1")

    last = jobs("show", job.pk)[0].splitlines()[-1]

    assert last.startswith("worker    host:1, until 20")


def test_show_as_json_is_the_status_with_what_operators_know(
    ada: Any, run: Run
) -> None:
    job = make_job(35, owner=ada)
    run(job)

    document = json.loads(jobs("show", job.pk, "--json")[0])

    assert document["progress"]["percentage"] == 100.0
    assert document["result"]["error_count"] == 5
    assert (document["owner"], document["worker"]) == ("ada", "test:1")
    assert document["created_at"] <= document["started_at"] <= document["finished_at"]


@pytest.mark.parametrize("subcommand", ["show", "cancel"])
def test_a_job_that_there_is_not_is_said(subcommand: str) -> None:
    with pytest.raises(CommandError) as caught:
        jobs(subcommand, UUID(int=7))

    assert str(caught.value) == "There is no job 00000000-0000-0000-0000-000000000007."


def test_cancel_writes_no_further_row(run: Run) -> None:
    job, ended = make_job(35), make_job(5)
    run(ended)

    out, _ = jobs("cancel", job.pk, ended.pk)

    assert out.splitlines() == [
        f"{job.pk}: cancelled, 0 of 35 rows are done",
        f"{ended.pk}: completed, as before, 5 of 5 rows are done",
    ]
    run(job)
    assert written(job) == []


def test_cancel_goes_on_after_a_job_that_there_is_not() -> None:
    job = make_job(35)

    with pytest.raises(CommandError):
        jobs("cancel", UUID(int=7), job.pk)

    assert states.jobs().get(pk=job.pk).state == State.CANCELLED


@pytest.mark.parametrize(
    ("became", "text"),
    [
        (
            State.CANCELLING,
            (
                "{job}: pending as soon as the batch in hand is written, 0 of 35 rows "
                "are done\n"
            ),
        ),
        (
            BusyError(),
            "{job}: Others are writing the same rows. Send the request again.",
        ),
    ],
)
def test_a_cancel_that_has_to_wait_is_said(
    became: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(job_id: UUID) -> Any:
        if isinstance(became, Exception):
            raise became

        return became

    monkeypatch.setattr(states, "cancel", cancel)
    job = make_job(35)

    try:
        said = jobs("cancel", job.pk)[0]
    except CommandError as error:
        said = str(error)

    assert said == text.format(job=job.pk)


def test_prune_deletes_what_is_old_and_says_how_many(run: Run) -> None:
    old, kept = make_job(5), make_job(5)
    run(old)
    run(kept)
    states.jobs().filter(pk=old.pk).update(finished_at=states.after(-30 * 86_400))

    assert jobs("prune", "--dry-run")[0] == (
        "1 jobs and 0 inputs without a job would be deleted\n"
    )
    assert json.loads(jobs("prune", "--json")[0]) == {
        "jobs": 1,
        "inputs": 0,
        "dry_run": False,
    }
    assert [*states.jobs().values_list("pk", flat=True)] == [kept.pk]


def test_sweep_hands_out_what_nobody_works_on(settings: Any, redis_url: str) -> None:
    settings.PARTSTREAM = {"REDIS_URL": redis_url}
    make_job(5)

    assert jobs("sweep")[0] == "1 jobs handed out\n"
    assert json.loads(jobs("sweep", "--json")[0]) == {"handed_out": 0}


def test_sweep_has_nothing_to_do_where_workers_poll(settings: Any) -> None:
    settings.PARTSTREAM = {"QUEUE": "database"}
    job = make_job(5)

    assert jobs("sweep")[0] == (
        "With QUEUE='database' workers look into the table themselves; there is "
        "nothing to hand out.\n"
    )
    assert states.jobs().get(pk=job.pk).dispatches == 0


def test_follow_tells_each_change_until_the_end(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job moves on each time that it was looked at."""
    looked, moved = threading.Semaphore(0), threading.Event()
    load = partstream_jobs._job

    def look(job_id: UUID) -> Job:
        found = load(job_id)
        looked.release()
        return found

    def wait(_: Job) -> None:
        moved.set()
        assert looked.acquire(timeout=20)

    monkeypatch.setattr(partstream_jobs, "FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(partstream_jobs, "_job", look)
    job = make_job(35)
    worker = threading.Thread(target=run, args=(job,), kwargs={"on_change": wait})
    worker.start()
    moved.wait(20)

    lines = jobs("show", job.pk, "--follow")[0].splitlines()
    worker.join()

    assert lines[0] == "running: 0 % 0 of 35 rows"
    assert "completed: 100 % 35 of 35 rows" in lines
    assert f"job       {job.pk} of nobody, {KIND}" in lines


def test_follow_as_json_has_a_line_for_each_change(run: Run) -> None:
    job = make_job(35)
    run(job)

    [line] = jobs("show", job.pk, "--follow", "--json")[0].splitlines()

    assert json.loads(line)["state"] == "SUCCESS"


def test_follow_exits_1_when_the_job_was_cancelled() -> None:
    job = make_job(35)
    states.cancel(job.pk)

    out, code = jobs("show", job.pk, "--follow")

    assert code == 1
    assert "state     CANCELLED: The job was cancelled." in out


def test_follow_that_is_interrupted_leaves_the_job_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    job = make_job(35)

    assert jobs("show", job.pk, "--follow")[1] == 130
    assert states.jobs().get(pk=job.pk).state == State.PENDING


def test_it_is_a_command_of_manage_py(run: Run) -> None:
    job = make_job(35)
    run(job)

    done = subprocess.run(
        [sys.executable, "-m", "django", "partstream_jobs", "show", str(job.pk)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "rows      35 of 35 (100.0 %): 30 created, 5 failed" in done.stdout


def test_a_terminal_gets_a_bar(run: Run) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    job = make_job(35)
    run(job)
    out = Terminal()

    with contextlib.suppress(SystemExit):
        call_command("partstream_jobs", "show", str(job.pk), "--follow", stdout=out)

    assert "━" in out.getvalue()
    assert "35/35" in out.getvalue()
