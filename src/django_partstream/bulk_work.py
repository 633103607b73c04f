"""A bulk operation as the work of a job."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from rest_framework import exceptions

from . import conf, encoding
from .bulk import rows
from .bulk.operation import operation_on
from .bulk.outcome import Counts, Kind, Outcome
from .bulk.verb import Verb
from .envelope import Envelope
from .errors import NotFoundError, UnencodableError
from .jobs import inputs
from .jobs.crash_points import Point, reached
from .jobs.work import Budget, Step, Tally, WorkRefusedError, register
from .target import target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        with self._envelope.locale():
            return self._step(cursor, budget)

    def _step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        position = rows.Position.from_dict(cursor)
        stream = self._input.open(position.offset)
        read = rows.read(stream, self._dialect, position)
        outcomes: list[Outcome] = []
        done = False

        while not (done or (outcomes and budget.spent)):
            batch = list(itertools.islice(read, conf.current().batch_size))

            if batch:
                outcomes += self._operation.run([row for row, _ in batch])
                position = batch[-1][1]
                reached(Point.WITHIN_STEP)

            done = len(batch) < conf.current().batch_size

        return _step_of(outcomes, position, done=done)


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
