"""A bulk operation as the work of a job."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import transaction
from rest_framework import exceptions

from . import conf, encoding
from .bulk import rows
from .bulk.operation import operation_on
from .bulk.outcome import Counts, Kind, Outcome, RowError
from .bulk.verb import Verb
from .envelope import Envelope
from .errors import NotFoundError, UnencodableError
from .jobs import inputs
from .jobs.crash_points import Point, reached
from .jobs.work import Budget, Step, Tally, WorkRefusedError, register
from .target import target_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .models import Job

__all__ = ("BulkWork", "failure_of", "kind_of", "view_of")


def kind_of(verb: Verb) -> str:
    """`operation_type` in a job's status."""
    return f"async_{Verb.UPSERT if verb is Verb.PUT else verb}"


class BulkWork:
    """A bulk operation, a batch at a time: the Work of jobs of kind `async_…`."""

    def __init__(self, job: Job) -> None:
        self._input = inputs.of(job)
        self._envelope = Envelope(**job.spec["envelope"])
        self._dialect = rows.Dialect.from_dict(job.spec["dialect"])

        with self._envelope.locale():
            view = view_of(job, self._envelope)
            # Jobs of before there were verbs are upserts.
            verb = Verb(job.spec.get("verb", Verb.UPSERT))
            target = target_of(view, verb, text=self._dialect.format == "csv")
            self._operation = operation_on(
                target,
                verb,
                unique_fields=job.spec["unique_fields"],
                update_fields=job.spec["update_fields"],
            )

        self.using = target.using
        self._total = job.total
        self._size = _Size(job.rate)
        self._read: Iterator[tuple[rows.Row, rows.Position]] | None = None
        self._position: rows.Position | None = None

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        with self._envelope.locale():
            return self._step(cursor, budget)

    def skip(self, cursor: Mapping[str, Any], code: str, detail: str) -> Step:
        position = rows.Position.from_dict(cursor)
        row, position = next(self._rows_after(position))
        outcome = Outcome(
            row=row.number,
            line=row.line,
            kind=Kind.FAILED,
            errors=(RowError("", code, detail),),
            data=row.data,
        )
        self._position = position

        return _step_of([outcome], position, done=False)

    def _step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        position = rows.Position.from_dict(cursor)
        read = self._rows_after(position)
        outcomes: list[Outcome] = []
        left = budget.failures
        done = False

        while not (done or (outcomes and budget.spent)):
            size = self._size.next(budget, len(outcomes))
            batch = list(itertools.islice(read, size))
            done = len(batch) < size

            if batch:
                began = time.monotonic()
                found = self._run([row for row, _ in batch], left)
                self._size.took(len(found), time.monotonic() - began)
                outcomes += found
                position = batch[len(found) - 1][1]
                done = done and len(found) == len(batch)
                reached(Point.WITHIN_STEP)

            if left is not None and batch:
                left -= sum(outcome.kind is Kind.FAILED for outcome in found)

                if left < 0:
                    break

            if len(outcomes) == budget.rows:
                break

        if done:
            self._check_end(position)

        self._position = position

        return _step_of(outcomes, position, done=done)

    def _rows_after(
        self, position: rows.Position
    ) -> Iterator[tuple[rows.Row, rows.Position]]:
        # Where the last step ended, reading goes on; elsewhere, after a step that was
        # undone, it begins again.
        if self._read is None or position != self._position:
            stream = self._input.open(position.offset)
            self._read = rows.read(stream, self._dialect, position)

        # Until the step has come to its end, nobody knows where it stands.
        self._position = None

        return self._read

    def _run(self, batch: Sequence[rows.Row], left: int | None) -> Sequence[Outcome]:
        """The outcomes of these rows, up to the one whose failure is too many."""
        if left is None:
            return self._operation.run(batch)

        with contextlib.suppress(_TooManyError), transaction.atomic(using=self.using):
            outcomes = self._operation.run(batch)
            failed = [i for i, o in enumerate(outcomes, 1) if o.kind is Kind.FAILED]

            if len(failed) <= left or failed[left] == len(batch):
                return outcomes

            # Undone, with the rows behind it.
            raise _TooManyError

        return self._operation.run(batch[: failed[left]])

    def _check_end(self, position: rows.Position) -> None:
        if self._total and position.row != self._total:
            raise WorkRefusedError(
                f"The input of this job ended after row {position.row}, and had "
                f"{self._total} rows when it was sent. Send it again."
            )


class _TooManyError(Exception):
    """More rows have failed than may."""


class _Size:
    """How many rows are validated together: no more than about a commit's worth, so
    that it comes well before the lease runs out, however slow a row is."""

    #: When nothing is known about them yet.
    FIRST = 50
    #: A commit is not ended by a batch too small to be worth it.
    LEAST_SECONDS = 0.25

    def __init__(self, rate: float | None) -> None:
        self._rate = rate

    def next(self, budget: Budget, taken: int) -> int:
        size = conf.current().batch_size

        if budget.rows is not None:
            size = min(size, budget.rows - taken)

        if self._rate is None:
            return max(1, min(size, self.FIRST))

        seconds = max(self.LEAST_SECONDS, budget.ends_at - time.monotonic())

        return max(1, min(size, int(self._rate * seconds)))

    def took(self, rows: int, seconds: float) -> None:
        self._rate = rows / max(seconds, 1e-4)


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


def _step_of(outcomes: list[Outcome], position: rows.Position, *, done: bool) -> Step:
    return Step(
        cursor=position.as_dict(),
        done=done,
        tally=Tally(**dataclasses.asdict(Counts.of(outcomes))),
        created_ids=_ids(outcomes, Kind.CREATED),
        updated_ids=_ids(outcomes, Kind.UPDATED),
        deleted_ids=_ids(outcomes, Kind.DELETED),
        failures=tuple(failure_of(o) for o in outcomes if o.kind is Kind.FAILED),
        kinds=[outcome.kind for outcome in outcomes],
        pks=[o.pk for o in outcomes if o.kind is not Kind.FAILED],
    )


def _ids(outcomes: list[Outcome], kind: Kind) -> tuple[Any, ...]:
    return tuple(
        outcome.pk if isinstance(outcome.pk, int) else str(outcome.pk)
        for outcome in outcomes
        if outcome.kind is kind
    )


def failure_of(outcome: Outcome) -> dict[str, Any]:
    """A refused row, with the members that older documents promise beside ours."""
    return {
        "index": outcome.row - 1,
        "row": outcome.row,
        "line": outcome.line,
        "outcome": "failed",
        "pk": None,
        "error": "; ".join(
            f"{error.pointer.removeprefix('/') or 'row'}: {error.detail}"
            for error in outcome.errors
        ),
        "data": _jsonable(outcome.data),
        "errors": [dataclasses.asdict(error) for error in outcome.errors],
    }


def _jsonable(value: Any) -> Any:
    # What came in as CSV or JSON goes out as JSON, lone surrogates apart.
    try:
        encoding.encode(value)
    except UnencodableError:
        return None

    return value


for verb in Verb:
    register(kind_of(verb), BulkWork)
