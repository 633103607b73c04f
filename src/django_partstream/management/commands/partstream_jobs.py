"""`manage.py partstream_jobs`: what jobs there are, and what an operator may do."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from django_partstream import conf, retries
from django_partstream.errors import BusyError, PartstreamError
from django_partstream.jobs import progress, pruning, states, sweeper
from django_partstream.jobs.queue import get_queue
from django_partstream.loading.bar import progress_bar
from django_partstream.models import State

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from django_partstream.models import Job

__all__ = ("FOLLOW_SECONDS", "Command")

#: How often a job that is followed is looked at.
FOLLOW_SECONDS = 0.5

COLUMNS = "{:<36}  {:<10}  {:<16}  {:<16}  {:>22}  {:>8}  {}"
HEAD = ("id", "state", "kind", "owner", "rows", "failed", "created")
ERRORS = 10
AS_JSON = "for programs: JSON, one a line"
#: What a cancel did, behind what the job is now.
CANCELS = {
    State.CANCELLED: "",
    State.CANCELLING: " as soon as the batch in hand is written",
    None: ", as before",
}
#: Queues whose workers look into the table themselves.
POLLED = ("embedded", "database")
WORDS = ("created", "updated", "unchanged", "deleted", "failed")


class Command(BaseCommand):
    help = (
        "List jobs, show or follow one, cancel, retry or delete some, hand out those "
        "that a queue lost."
    )
    # Whoever looks for what is wrong must not be stopped by what is wrong.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(
            dest="subcommand", required=True, metavar="subcommand"
        )

        listing = commands.add_parser("list", help="the newest jobs")
        listing.add_argument(
            "--state",
            action="append",
            choices=[state.value for state in State],
            help="of this state only; repeatable",
        )
        listing.add_argument("--owner", metavar="USERNAME", help="of this user only")
        listing.add_argument("--limit", type=int, default=20, help="default 20")
        listing.add_argument("--json", action="store_true", help=AS_JSON)

        show = commands.add_parser("show", help="one job")
        show.add_argument("job", type=UUID)
        show.add_argument(
            "--follow",
            action="store_true",
            help="until it has ended; exits 1 where it failed or was cancelled",
        )
        show.add_argument("--json", action="store_true", help=AS_JSON)

        cancel = commands.add_parser(
            "cancel", help="write no further row of these jobs; what is written stays"
        )
        cancel.add_argument("jobs", type=UUID, nargs="+", metavar="job")
        cancel.add_argument("--json", action="store_true", help=AS_JSON)

        again = commands.add_parser(
            "retry",
            help="run rows of a finished job again as a new one; let one that waits "
            "for another version of the code go on under this one",
        )
        again.add_argument("job", type=UUID)
        again.add_argument(
            "--outcome", choices=retries.OUTCOMES, default="failed", help="which rows"
        )
        again.add_argument("--json", action="store_true", help=AS_JSON)

        sweep = commands.add_parser(
            "sweep", help="hand the jobs that nobody works on to the queue, now"
        )
        sweep.add_argument("--json", action="store_true", help=AS_JSON)

        prune = commands.add_parser(
            "prune", help="delete the finished jobs whose time is up"
        )
        prune.add_argument("--dry-run", action="store_true", help="only say how many")
        prune.add_argument("--limit", type=int, help="at most so many, oldest first")
        prune.add_argument("--json", action="store_true", help=AS_JSON)

    def handle(self, *args: Any, subcommand: str, **options: Any) -> None:
        getattr(self, f"_{subcommand}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        jobs = _jobs()

        if options["state"]:
            jobs = jobs.filter(state__in=options["state"])

        if options["owner"]:
            field = get_user_model().USERNAME_FIELD
            jobs = jobs.filter(**{f"owner__{field}": options["owner"]})

        found = list(jobs[: max(options["limit"], 1)])

        if options["json"]:
            for job in found:
                self._say_json(_document(job))

            return

        if not found:
            self.stdout.write("There are no such jobs.")
            return

        for line in (HEAD, *map(_cells, found)):
            self.stdout.write(COLUMNS.format(*line).rstrip())

    def _show(self, options: dict[str, Any]) -> None:
        if options["follow"]:
            try:
                job = self._follow(options)
            except KeyboardInterrupt:
                # The job goes on; only we have seen enough.
                sys.exit(130)
        else:
            job = _job(options["job"])

        if not options["json"]:
            for line in _lines(job):
                self.stdout.write(line)
        elif not options["follow"]:
            self._say_json(_document(job))

        if options["follow"] and job.state != State.SUCCESS:
            sys.exit(1)

    def _follow(self, options: dict[str, Any]) -> Job:
        # OutputWrapper adds newlines, which a bar does without.
        out: Any = getattr(self.stdout, "_out", self.stdout)

        if options["json"]:
            for job in _changes(options["job"]):
                self._say_json(_document(job))

            return job

        with progress_bar(out) as bar:
            for job in _changes(options["job"]):
                status = str(progress.STATUS[State(job.state)])
                bar.show(status, job.current, job.total)

        return job

    def _cancel(self, options: dict[str, Any]) -> None:
        unknown = []

        for job_id in options["jobs"]:
            done = _cancel(job_id)
            job = _jobs().filter(pk=job_id).first()

            if job is None:
                unknown.append(job_id)
                continue

            if options["json"]:
                self._say_json({"task_id": str(job_id), "state": job.state})
                continue

            self.stdout.write(
                f"{job_id}: {progress.STATUS[State(job.state)]}{CANCELS[done]}, "
                f"{job.current} of {job.total} rows are done"
            )

        if unknown:
            raise CommandError(f"There is no job {', '.join(map(str, unknown))}.")

    def _retry(self, options: dict[str, Any]) -> None:
        job_id, outcome = options["job"], options["outcome"]

        if states.accept(job_id):
            new, text = job_id, "goes on under the code that there is now"
        else:
            _job(job_id)

            try:
                job = retries.retry(states.jobs().get(pk=job_id), outcome)
            except PartstreamError as error:
                raise CommandError(f"{job_id}: {error}") from error

            rows = "1 {} row is" if job.total == 1 else f"{job.total} {{}} rows are"
            new, text = job.pk, f"{rows.format(outcome)} run again as {job.pk}"

        if options["json"]:
            self._say_json({"task_id": str(new)})
        else:
            self.stdout.write(f"{job_id}: {text}")

    def _sweep(self, options: dict[str, Any]) -> None:
        queue = conf.current().queue
        count = 0

        if queue not in POLLED:
            count = async_to_sync(sweeper.sweep)(get_queue())

        if options["json"]:
            self._say_json({"handed_out": count})
        elif queue not in POLLED:
            self.stdout.write(f"{count} jobs handed out")
        else:
            self.stdout.write(
                f"With QUEUE={queue!r} workers look into the table themselves; there "
                "is nothing to hand out."
            )

    def _prune(self, options: dict[str, Any]) -> None:
        dry_run = options["dry_run"]
        jobs = pruning.prune(limit=options["limit"], dry_run=dry_run)
        inputs = pruning.prune_strays(dry_run=dry_run)

        if options["json"]:
            self._say_json({"jobs": jobs, "inputs": inputs, "dry_run": dry_run})
        else:
            what = "would be deleted" if dry_run else "deleted"
            self.stdout.write(f"{jobs} jobs and {inputs} inputs without a job {what}")

    def _say_json(self, document: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(document, default=str))


def _cancel(job_id: UUID) -> State | None:
    try:
        return states.cancel(job_id)
    except BusyError as error:
        raise CommandError(f"{job_id}: {error.detail}") from error


def _jobs() -> QuerySet[Job]:
    return states.jobs().select_related("owner").defer("spec", "cursor")


def _job(job_id: UUID) -> Job:
    job = _jobs().filter(pk=job_id).first()

    if job is None:
        raise CommandError(f"There is no job {job_id}.")

    return job


def _changes(job_id: UUID) -> Iterator[Job]:
    """The job now, and whenever it has moved, until it has ended."""
    seen = -1

    while True:
        job = _job(job_id)

        if job.seq > seen:
            seen = job.seq
            yield job

        if State(job.state).terminal:
            return

        time.sleep(FOLLOW_SECONDS)


def _owner(job: Job) -> str:
    return "" if job.owner is None else job.owner.get_username()


def _cells(job: Job) -> tuple[str, ...]:
    return (
        str(job.pk),
        job.state,
        job.kind,
        _owner(job),
        f"{job.current} of {job.total}",
        str(job.failed),
        f"{job.created_at:%Y-%m-%d %H:%M:%S}",
    )


def _document(job: Job) -> dict[str, Any]:
    return {
        **progress.snapshot(job),
        "owner": _owner(job) or None,
        "worker": job.worker or None,
        "created_at": _iso(job.created_at),
        "started_at": _iso(job.started_at),
        "finished_at": _iso(job.finished_at),
    }


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()


def _lines(job: Job) -> list[str]:
    snapshot = progress.snapshot(job)
    shown = snapshot["progress"]
    counts = ", ".join(f"{count} {w}" for w in WORDS if (count := getattr(job, w)))
    lines = [
        f"job       {job.pk} of {_owner(job) or 'nobody'}, {job.kind}",
        f"state     {job.state}: {shown['message']}",
        f"rows      {job.current} of {job.total} ({shown['percentage']} %)"
        + (f": {counts}" if counts else ""),
        f"created   {_iso(job.created_at)}",
    ]

    if job.started_at is not None:
        lines.append(f"started   {_iso(job.started_at)}")

    if job.finished_at is not None:
        lines.append(f"finished  {_iso(job.finished_at)}")
    elif job.lease_until is not None:
        lines.append(f"worker    {job.worker}, until {_iso(job.lease_until)} at least")

    errors = snapshot["result"]["errors"][:ERRORS]
    lines += [f"row {error.get('row')}: {error.get('error')}" for error in errors]

    if job.failed > len(errors):
        lines.append(f"… and {job.failed - len(errors)} more")

    return lines
