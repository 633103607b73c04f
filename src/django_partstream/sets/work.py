"""Reading a large set as the work of a job: what it read lies in the ledger."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from django_partstream import conf, reading
from django_partstream.bulk import rows
from django_partstream.bulk.outcome import Kind
from django_partstream.bulk_work import view_of
from django_partstream.envelope import Envelope
from django_partstream.errors import PartstreamError
from django_partstream.job_rows import JobRows
from django_partstream.jobs import states
from django_partstream.jobs.work import (
    Budget,
    Step,
    Tally,
    WorkRefusedError,
    register,
)

from . import lines
from .question import world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_partstream.models import Job

__all__ = ("KIND", "ReadWork")

KIND = "async_get"


class ReadWork:
    """Reads the objects that a question asks for, a batch at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._envelope = Envelope(**job.spec["envelope"])

        with self._envelope.locale():
            self._view = view_of(job, self._envelope)

            try:
                self._found = world(self._view, job.spec["filters"])
            except PartstreamError as error:
                # What may be asked changed since.
                raise WorkRefusedError(error.detail) from error

        #: Where the ledger is; what is read may come from a replica.
        self.using = states.jobs().db

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        with self._envelope.locale():
            if "dialect" in self._job.spec:
                return self._by_keys(cursor, budget)

            return self._all(cursor, budget)

    def _all(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        pk = self._found.model._meta.pk
        last = cursor.get("last")
        last = None if last is None else pk.to_python(last)
        read: list[Any] = []
        output = b""
        done = last_moved = False

        while not (done or (last_moved and budget.spent)):
            batch = lines.after(self._found, last)
            done = len(batch) < conf.current().batch_size
            last = batch[-1].pk if batch else last
            last_moved = True
            seen = [row for row in batch if reading.may_see(self._view, row)]
            output += lines.encoded(self._view, seen)
            read += [_jsonable(row.pk) for row in seen]

        return Step(
            cursor={"last": _jsonable(last), "row": cursor.get("row", 0) + len(read)},
            done=done,
            tally=Tally(unchanged=len(read)),
            kinds=[Kind.UNCHANGED] * len(read),
            pks=read,
            output=output,
        )

    def _by_keys(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        asked_for = JobRows.of(self._job)
        position = rows.Position.from_dict(cursor) if cursor else asked_for.start
        given = asked_for.after(position)
        kinds: list[Kind] = []
        read: list[Any] = []
        failures: list[dict[str, Any]] = []
        output = b""
        done = False

        while not (done or (kinds and budget.spent)):
            batch = list(itertools.islice(given, conf.current().batch_size))
            done = len(batch) < conf.current().batch_size
            position = batch[-1][1] if batch else position
            asked = [row for row, _ in batch]
            keys = reading.keys_of(self._found, [row.data for row in asked])
            there = reading.allowed(self._view, self._found, keys)
            seen = [there[key] for key in keys if key in there]
            output += lines.encoded(self._view, seen)
            read += [_jsonable(row.pk) for row in seen]
            kinds += [Kind.UNCHANGED if k in there else Kind.FAILED for k in keys]
            failures += [
                _missing(row)
                for row, key in zip(asked, keys, strict=True)
                if key not in there
            ]

        return Step(
            cursor=position.as_dict(),
            done=done,
            tally=Tally(unchanged=len(read), failed=len(failures)),
            failures=tuple(failures),
            kinds=kinds,
            pks=read,
            output=output,
        )


def _jsonable(pk: Any) -> Any:
    return pk if pk is None or isinstance(pk, int) else str(pk)


def _missing(row: rows.Row) -> dict[str, Any]:
    detail = "There is no object with this primary key."

    return {
        "index": row.number - 1,
        "row": row.number,
        "line": None,
        "outcome": "failed",
        "pk": None,
        "error": detail,
        "data": row.data,
        "errors": [{"pointer": "", "code": "not_found", "detail": detail}],
    }


register(KIND, ReadWork)
