"""A bulk request as work: where view, bulk and jobs meet."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from django.db import DatabaseError, connections, transaction

from . import answers, conf, fingerprint, max_errors, time_limit, uploads
from .bulk import rows
from .bulk.locking import locks_in_order
from .bulk.operation import operation_on
from .bulk.outcomes import Outcomes
from .bulk.refusals import is_transient
from .bulk.verb import Verb
from .bulk_work import kind_of
from .errors import BusyError, QueryTimeoutError, TooManyRowsError
from .intent import read_body, read_intent
from .replays import answered_once
from .row_lines import RowLines
from .signals import bulk_written
from .submission import submit_work
from .target import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request
    from rest_framework.response import Response

    from .bulk.operation import Operation
    from .bulk.pipeline import Target
    from .intent import Intent

__all__ = ("AS_A_JOB", "AT_ONCE_OR_LATER", "Way", "answer")

#: How often a transaction of ours is tried that others have got in the way of, and
#: the longest pause before the second try, in seconds; it doubles.
ATTEMPTS = 6
PAUSE_SECONDS = 0.05
#: At most so many rows are one batch, whatever its size is to be: where they are locked
#: in one order, deleted, or tried again.
ROWS_AT_ONCE = 10_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How an address answers rows."""

    #: Whether so many rows, asked for so, become a job. Raises our 4xx errors where
    #: they can neither become one nor be answered.
    becomes_a_job: Callable[[Any, Request, Intent, int], bool]
    #: The response when they are written.
    answer: Callable[..., HttpResponseBase] = answers.answer
    #: Rows that are written together.
    batch_size: Callable[[], int] = lambda: conf.current().batch_size
    #: Seconds that a statement may take, by when the whole began. Raises
    #: QueryTimeoutError where that is too long ago.
    seconds: Callable[[float], float | None] = lambda started: (
        conf.current().query_timeout_seconds
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Input:
    """The rows of a request, which can be read more than once."""

    inspection: rows.Inspection
    spool: BinaryIO
    #: Rows of a batch.
    size: int
    #: All of them, where they were kept.
    kept: Sequence[rows.Block] | None

    @property
    def is_one_batch(self) -> bool:
        return self.inspection.rows <= self.size

    def joined(self) -> Input:
        """As one batch, whose rows are locked as they are found, and whose keys are
        asked for once, where they were kept one by one and are not too many."""
        count, kept = self.inspection.rows, self.kept

        if (
            not kept
            or count > ROWS_AT_ONCE
            or not all(isinstance(block.values, list) for block in kept)
        ):
            return self

        return dataclasses.replace(
            self, size=max(self.size, count), kept=(rows.Block.joined(kept),)
        )

    def batches(self) -> Iterator[rows.Block]:
        for block in self._blocks():
            if len(block) < 2 * self.size:
                yield block
                continue

            for start in range(0, len(block), self.size):
                yield block.part(start, start + self.size)

    def _blocks(self) -> Iterable[rows.Block]:
        if self.kept is not None:
            return self.kept

        self.spool.seek(0)
        found = rows.blocks(self.spool, self.inspection.dialect, self.size)

        return (block for block, _ in found)


def answer(
    view: Any, request: Request, verb: Verb, *, way: Way | None = None
) -> HttpResponseBase:
    """Answer a request whose body is rows: what was written, or a job.

    Raises our 4xx errors; then nothing was written.
    """
    way = way or AT_ONCE_OR_LATER
    body, given = uploads.unwrapped(read_body(request))
    intent = read_intent(request, body, verb, given)
    target = target_of(view, intent.verb, text=body.content_type == "text/csv")
    operation = operation_on(
        target,
        intent.verb,
        unique_fields=intent.unique_fields,
        update_fields=intent.update_fields,
    )

    with uploads.spooled() as spool:
        inspection = uploads.inspect(body, operation, spool)

        if way.becomes_a_job(view, request, intent, inspection.rows):
            return _submit(view, request, intent, operation, inspection, spool)

        started = time.monotonic()

        def write(attempt: int) -> HttpResponseBase:
            given = Input(inspection, spool, way.batch_size(), inspection.blocks)

            if attempt:
                # Read anew, as somebody's hook may have changed the rows; and in one
                # batch, whose order of locks is total.
                size = max(given.size, min(inspection.rows, ROWS_AT_ONCE))
                given = dataclasses.replace(given, size=size, kept=None)
            elif intent.verb is Verb.DELETE or (
                intent.verb is not Verb.CREATE and locks_in_order(target.using)
            ):
                given = given.joined()

            return answered_once(
                request,
                intent,
                lambda: _write(view, target, operation, intent, given, way, started),
                using=target.using,
                stream=spool,
            )

        return _persistently(write, target.using)


def _becomes_a_job(view: Any, request: Request, intent: Intent, count: int) -> bool:
    limit = _sync_max_rows(view)
    rollback = intent.preferences.rollback

    if count > limit and (rollback or not view.jobs):
        what = "A dry run is" if rollback else "Requests are"
        raise TooManyRowsError(
            f"{what} answered at once here, with at most {limit} rows; these are "
            f"{count}. Send fewer at once.",
            extra={"limit": limit, "rows": count},
        )

    return count > limit or (
        intent.preferences.respond_async and view.jobs and not rollback
    )


def _is_a_job(view: Any, request: Request, intent: Intent, count: int) -> bool:
    if view.jobs and not intent.preferences.rollback:
        return True

    return _becomes_a_job(view, request, intent, count)


#: Up to `sync_max_rows` rows at once, unless the client would rather not wait.
AT_ONCE_OR_LATER = Way(becomes_a_job=_becomes_a_job)
#: However few they are; what is only tried, and views without jobs, apart.
AS_A_JOB = Way(becomes_a_job=_is_a_job)


def _sync_max_rows(view: Any) -> int:
    return view.sync_max_rows or conf.current().sync_max_rows


def _persistently(
    write: Callable[[int], HttpResponseBase], using: str
) -> HttpResponseBase:
    """What `write` returns, which is called again, with the number of the try, where
    others got in its way.

    Raises BusyError when all tries were in vain, or the transaction is not ours.
    """
    attempts = ATTEMPTS if _is_ours(using) else 1

    for attempt in range(attempts):
        try:
            return write(attempt)
        except DatabaseError as error:
            if time_limit.was_exceeded(error):
                raise QueryTimeoutError from error

            if not is_transient(error):
                raise

            if attempt == attempts - 1:
                raise BusyError from error

        time.sleep(random.uniform(0, PAUSE_SECONDS * 2**attempt))

    raise AssertionError("the last attempt returns or raises")


def _is_ours(using: str) -> bool:
    """Whether the next transaction here is one of ours."""
    return not connections[using].in_atomic_block


def _write(
    view: Any,
    target: Target,
    operation: Operation,
    intent: Intent,
    given: Input,
    way: Way,
    started: float,
) -> HttpResponseBase:
    """In one transaction.

    Raises InvalidRowsError, which names every bad row, unless the client is lenient.
    """
    is_ours = _is_ours(target.using)
    operation.wants_pks = _wants_pks(target, intent, way)

    if way.answer is answers.answer:
        operation.wants_columns = answers.wanted_columns(view, intent)

    with (
        transaction.atomic(using=target.using),
        time_limit.limited(target.using, way.seconds(started)),
    ):
        operation.begin()

        if not given.is_one_batch:
            operation.lock(given.batches())

        outcomes = _run(operation, given.batches(), way, started)
        refusal = answers.refusal(outcomes)

        if refusal is not None and not intent.preferences.lenient:
            raise refusal

        # Inside, so that a dry run shows what would be stored.
        response = way.answer(view, target, operation, intent, outcomes)

        if isinstance(response, RowLines) and (
            intent.preferences.rollback or not is_ours
        ):
            response.make_all()

        if intent.preferences.rollback:
            transaction.set_rollback(True, using=target.using)

        return response


def _wants_pks(target: Target, intent: Intent, way: Way) -> bool:
    """Whether anybody is told the primary keys of rows that are created."""
    preferences = intent.preferences

    return (
        not preferences.minimal
        or preferences.lenient
        or way.answer is not answers.answer
        or bulk_written.has_listeners(target.model)
    )


def _run(
    operation: Operation, batches: Iterable[rows.Block], way: Way, started: float
) -> Outcomes:
    outcomes: list[Outcomes] = []

    for batch in batches:
        outcomes.append(operation.run(batch))
        # Raises when there is no time left.
        way.seconds(started)

    return Outcomes.joined(outcomes)


def _submit(
    view: Any,
    request: Request,
    intent: Intent,
    operation: Operation,
    inspection: rows.Inspection,
    spool: BinaryIO,
) -> Response:
    update_fields = intent.update_fields

    return submit_work(
        view,
        request,
        kind=kind_of(intent.verb),
        spec={
            "dialect": inspection.dialect.as_dict(),
            "columns": list(operation.csv_columns()[0]),
            "verb": intent.verb.value,
            "unique_fields": list(intent.unique_fields),
            "update_fields": None if update_fields is None else list(update_fields),
            **max_errors.spec_of(view, intent.max_errors, inspection.rows),
        },
        fields=fingerprint.fields_of(view.get_serializer(data={})),
        total=inspection.rows,
        preferences=intent.preferences,
        stream=spool,
    )
