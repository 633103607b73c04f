"""The rows of a job, out of its input: as they were sent, or as another job's ledger
has them, which is what a retry runs again."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import orjson

from .bulk import rows
from .bulk.outcome import RowError
from .bulk.row import Position, Row
from .bulk.stretch import RowReader
from .jobs import inputs
from .jobs.inputs import InputReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .bulk.stretch import Reader
    from .jobs.inputs import Input
    from .models import Job

__all__ = ("KEPT", "JobRows", "OpenRows", "kept_line")

#: In `spec["format"]`: lines of `kept_line`.
KEPT = "kept"

BUFFER_BYTES = 256 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class JobRows:
    """How the rows of a job are read. Needs `job.spec`."""

    dialect: rows.Dialect
    #: Lines of `kept_line`, in place of what `dialect` says.
    kept: bool
    #: Where the job began.
    start: Position
    #: The number of its last row; None where that was not written down.
    last: int | None
    input: Input

    @classmethod
    def of(cls, job: Job) -> JobRows:
        spec = job.spec

        return cls(
            dialect=rows.Dialect.from_dict(spec["dialect"]),
            kept=spec.get("format") == KEPT,
            start=Position.from_dict(spec.get("start", {})),
            last=spec.get("last_row", job.total or None),
            input=inputs.of(job),
        )

    def after(self, position: Position) -> Iterator[tuple[Row, Position]]:
        """The rows after this position, each with the position after itself."""
        stream = self.input.open(position.offset)

        if self.kept:
            return _kept(stream, position)

        return rows.read(stream, self.dialect, position)

    def open(self, position: Position) -> OpenRows:
        """The same rows together. In a retry their numbers, which do not follow each
        other, are those of their positions alone."""
        stream = self.input.open(position.offset)

        if self.kept:
            return OpenRows(stream, RowReader(_kept(stream, position)))

        return OpenRows(stream, rows.reader(stream, self.dialect, position))


@dataclasses.dataclass(frozen=True, slots=True)
class OpenRows:
    """An input with its reader."""

    stream: BinaryIO
    reader: Reader

    @property
    def is_fetched(self) -> bool:
        """Whether `fetch` makes sure that the reader asks nothing of the database."""
        return self.reader.most_bytes is not None

    def fetch(self) -> None:
        """Have what the reader will next read, if that is known."""
        size = self.reader.most_bytes

        if size is not None and isinstance(self.stream, InputReader):
            self.stream.fetch(size)


def kept_line(failure: dict[str, Any]) -> bytes:
    """A failed row of a ledger, as a line of input: under its own number and line."""
    kept = {key: failure.get(key) for key in ("row", "line", "data")}

    # What had no form to be validated has none now; what could not be kept neither.
    if failure.get("malformed") or kept["data"] is None:
        kept["errors"] = failure["errors"]

    return orjson.dumps(kept) + b"\n"


def _kept(stream: BinaryIO, position: Position) -> Iterator[tuple[Row, Position]]:
    offset = position.offset
    raw: Any = stream

    for line in io.BufferedReader(raw, BUFFER_BYTES):
        kept = orjson.loads(line)
        offset += len(line)
        row = Row(
            number=kept["row"],
            line=kept["line"],
            data=kept["data"],
            errors=tuple(RowError(**error) for error in kept.get("errors", ())),
        )

        yield row, Position(offset=offset, row=row.number, line=row.line or 0)
