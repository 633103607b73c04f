"""A bulk operation as the work of a job."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connections, transaction
from rest_framework import exceptions

from . import fingerprint
from .bulk import rows
from .bulk.operation import operation_on
from .bulk.outcome import Kind, Outcome, RowError
from .bulk.outcomes import Outcomes
from .bulk.verb import Verb
from .bulk_steps import BatchSize, step_of
from .bulk_supply import Supply
from .envelope import Envelope
from .errors import NotFoundError
from .job_rows import JobRows
from .jobs import states
from .jobs.crash_points import Point, reached
from .jobs.work import (
    Budget,
    Step,
    WorkPostponedError,
    WorkRefusedError,
    register,
)
from .target import target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bulk.block import Block
    from .bulk.pipeline import Target
    from .bulk.stretch import Stretch
    from .models import Job

__all__ = ("BulkWork", "kind_of", "view_of")

#: What rows refer to is looked up once in so long, and anew after a step that was
#: undone. Whether it is still there when a row is written, the database tells.
KEPT_SECONDS = 5.0


def kind_of(verb: Verb) -> str:
    """`operation_type` in a job's status."""
    return f"async_{Verb.UPSERT if verb is Verb.PUT else verb}"


class BulkWork:
    """A bulk operation, a batch at a time: the Work of jobs of kind `async_…`."""

    def __init__(self, job: Job) -> None:
        self._rows = JobRows.of(job)
        self._envelope = Envelope(**job.spec["envelope"])

        with self._envelope.locale():
            view = view_of(job, self._envelope)
            # Jobs of before there were verbs are upserts.
            verb = Verb(job.spec.get("verb", Verb.UPSERT))
            target = target_of(view, verb, text=self._rows.dialect.format == "csv")
            _check_fingerprint(job, target)
            self._operation = operation_on(
                target,
                verb,
                unique_fields=job.spec["unique_fields"],
                update_fields=job.spec["update_fields"],
            )

        self.using = target.using
        self._size = BatchSize(job.rate)
        self._supply: Supply | None = None
        self._position: rows.Position | None = None
        self._looked_up_at = 0.0
        # SQLite would find out when a step is committed, and blame no row.
        is_told = connections[self.using].vendor != "sqlite"
        self._kept_seconds = KEPT_SECONDS if is_told else 0.0

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        with self._envelope.locale():
            return self._step(cursor, budget)

    def close(self) -> None:
        if self._supply is not None:
            self._supply.close()

        self._supply = None

    def skip(self, cursor: Mapping[str, Any], code: str, detail: str) -> Step:
        position = rows.Position.from_dict(cursor)
        stretch = self._rows_after(position).take(1)

        if stretch is None:
            # It is no row that raises: who does the step again sees what it is.
            return self._step(cursor, Budget.of(0))

        row, position = stretch.block[0], stretch.end(0)
        outcome = Outcome(
            row=position.row,
            line=row.line,
            kind=Kind.FAILED,
            errors=(RowError("", code, detail),),
            data=row.data,
        )
        self._position = position

        return step_of(Outcomes.of([outcome]), position, (), done=False)

    def _step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        position = rows.Position.from_dict(cursor)
        supply = self._rows_after(position)
        parts: list[Outcomes] = []
        count = 0
        malformed: set[int] = set()
        left = budget.failures
        done = supply.is_over()

        while not (done or (count and budget.spent)):
            stretch = supply.take(self._size.next(budget, count))
            assert stretch is not None  # it is not over
            began = time.monotonic()

            with connections[self.using].execute_wrapper(supply.while_writing):
                found = self._numbered(self._run(stretch.block, left), stretch)

            self._size.took(len(found), time.monotonic() - began)
            parts.append(found)
            count += len(found)
            malformed.update(stretch.end(i).row for i in stretch.block.errors)
            position = stretch.end(len(found) - 1)
            done = supply.is_over() and len(found) == len(stretch)
            reached(Point.WITHIN_STEP)

            if left is not None:
                left -= len(found.failed)

                if left < 0:
                    break

            if count == budget.rows:
                break

        if done:
            self._check_end(position)

        self._position = position

        return step_of(Outcomes.joined(parts), position, malformed, done=done)

    def _rows_after(self, position: rows.Position) -> Supply:
        # Where the last step ended, reading goes on; elsewhere, after a step that was
        # undone, it begins again.
        is_new = self._supply is None or position != self._position

        if is_new or time.monotonic() > self._looked_up_at + self._kept_seconds:
            self._operation.begin()
            self._looked_up_at = time.monotonic()

        if is_new or self._supply is None:
            self.close()
            self._supply = Supply(
                self._rows.open(position),
                self._read_ahead,
                size=self._size.most,
                may_read_ahead=self._size.may_read_ahead,
            )

        # Until the step has come to its end, nobody knows where it stands.
        self._position = None

        return self._supply

    def _read_ahead(self, stretch: Stretch) -> None:
        with self._envelope.locale():
            self._operation.read_ahead(stretch.block)

    def _run(self, batch: Block, left: int | None) -> Outcomes:
        """The outcomes of these rows, up to the one whose failure is too many."""
        if left is None:
            return self._operation.run(batch)

        with contextlib.suppress(_TooManyError), transaction.atomic(using=self.using):
            outcomes = self._operation.run(batch)
            kinds = enumerate(outcomes.kinds, start=1)
            failed = [count for count, kind in kinds if kind is Kind.FAILED]

            if len(failed) <= left or failed[left] == len(batch):
                return outcomes

            # Undone, with the rows behind it.
            raise _TooManyError

        return self._operation.run(batch.part(0, failed[left]))

    def _numbered(self, found: Outcomes, stretch: Stretch) -> Outcomes:
        """The outcomes under the numbers of their rows, which in a retry do not follow
        each other."""
        if not self._rows.kept:
            return found

        return Outcomes.of(
            dataclasses.replace(outcome, row=stretch.end(index).row)
            for index, outcome in enumerate(found)
        )

    def _check_end(self, position: rows.Position) -> None:
        last = self._rows.last

        if last is not None and position.row != last:
            raise WorkRefusedError(
                f"The input of this job ended after row {position.row}; when it was "
                f"sent, after row {last}. Send it again.",
                code="input_changed",
            )


class _TooManyError(Exception):
    """More rows have failed than may."""


def view_of(job: Job, envelope: Envelope) -> Any:
    """The view of a job, as its owner is now. Raises WorkRefusedError."""
    owner = None

    if job.owner_id is not None:
        # Read anew for every slice: rights may have been taken away.
        owner = get_user_model()._default_manager.filter(pk=job.owner_id).first()

        if owner is None or not owner.is_active:
            raise WorkRefusedError("The owner of this job is no longer active.")

    try:
        return envelope.view(owner)
    except NotFoundError as error:
        raise WorkRefusedError(error.detail) from error
    except (exceptions.PermissionDenied, exceptions.NotAuthenticated) as error:
        raise WorkRefusedError(
            "The owner of this job may no longer do this."
        ) from error


def _check_fingerprint(job: Job, target: Target) -> None:
    """Raises WorkPostponedError where the serializer is not the one that there was
    when the job was submitted."""
    fields = fingerprint.fields_of(target.get_serializer(data={}))
    found = fingerprint.digest(fields)

    if job.fingerprint == found:
        return

    if job.fingerprint:
        changed = fingerprint.difference(job.spec.get("fields", {}), fields)
        raise WorkPostponedError(
            "The serializer has changed since this job was submitted "
            f"({changed or 'its fields'}). The job goes on when a worker has the one "
            "of then; or under the new one, when an operator accepts it: manage.py "
            f"partstream_jobs retry {job.pk}"
        )

    # Accepted, or submitted by code that wrote none down: from now on it is this.
    job.fingerprint, job.spec = found, {**job.spec, "fields": fields}
    states.held(job).update(fingerprint=found, spec=job.spec)


for verb in Verb:
    register(kind_of(verb), BulkWork)
