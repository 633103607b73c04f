"""The port: what a job does, step by step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from django_partstream.models import Job

__all__ = (
    "OURS",
    "Budget",
    "ClosingWork",
    "SkippingWork",
    "Step",
    "Tally",
    "Work",
    "WorkPostponedError",
    "WorkRefusedError",
    "is_registered",
    "register",
    "work_of",
)


#: Kinds of ours, which requests make jobs of, begin so.
OURS = "async_"


class WorkRefusedError(Exception):
    """The work may not or cannot go on; the job fails with this text, which its owner
    reads, and with the `code`, which their programs do."""

    def __init__(self, text: str, *, code: str = "refused") -> None:
        super().__init__(text)
        self.code = code


class WorkPostponedError(Exception):
    """The work cannot go on here and now, but may elsewhere or later: the job waits
    with this text, which its owner reads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How much one step should do: until `ends_at` on the monotonic clock, and no
    more than `rows` and `failures`, which matters when something goes wrong."""

    ends_at: float
    #: At most so many rows: the row that raises is being looked for.
    rows: int | None = None
    #: A step ends with the row whose failure is one more than these.
    failures: int | None = None

    @classmethod
    def of(
        cls, seconds: float, *, rows: int | None = None, failures: int | None = None
    ) -> Budget:
        return cls(time.monotonic() + seconds, rows, failures)

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self.ends_at


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many rows came to which end."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.created + self.updated + self.unchanged + self.deleted + self.failed


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step did. It takes effect only when its transaction commits."""

    #: Where the next step starts; JSON.
    cursor: Mapping[str, Any]
    #: Nothing is left to do.
    done: bool
    tally: Tally = dataclasses.field(default_factory=Tally)
    #: Primary keys in the order of their rows, as JSON values.
    created_ids: tuple[Any, ...] = ()
    updated_ids: tuple[Any, ...] = ()
    deleted_ids: tuple[Any, ...] = ()
    #: Failed rows as PROTOCOL section 7 shows them.
    failures: tuple[Mapping[str, Any], ...] = ()
    #: What became of each row, in order: "created", "updated", "unchanged",
    #: "deleted" or "failed"; empty where the outcome need not be downloaded.
    kinds: Sequence[str] = ()
    #: With it, the primary keys of the rows that did not fail, in order.
    pks: Sequence[Any] = ()
    #: What it made for a download: lines of NDJSON.
    output: bytes = b""


class Work(Protocol):
    """Something long, cut into steps.

    Made anew for every slice, possibly in another process: whatever must be
    remembered is in the cursor.
    """

    #: The database whose transaction holds a step; the job's rows live there too.
    using: str

    def step(self, cursor: Mapping[str, Any], budget: Budget) -> Step:
        """Do some work from `cursor` on, about as much as fits the budget.

        Called inside a transaction on `using`. Must move the cursor or be done.
        """
        ...


@runtime_checkable
class SkippingWork(Work, Protocol):
    """Work that can leave a row out.

    A step that raises, or ends its process, is tried again with fewer rows until the
    row is found that does it; then `skip` goes on behind it. A job whose work cannot
    skip fails there.
    """

    def skip(self, cursor: Mapping[str, Any], code: str, detail: str) -> Step:
        """The step of the one row after `cursor`, as failed for this reason; nothing
        is done with it. Called as `step` is."""
        ...


@runtime_checkable
class ClosingWork(Work, Protocol):
    """Work that holds something for the length of a slice."""

    def close(self) -> None:
        """Let go of it: no step comes any more. Called whatever has happened."""
        ...


#: Makes the work of a job. Raises WorkRefusedError and WorkPostponedError.
Factory = Callable[["Job"], Work]

_factories: dict[str, Factory] = {}


def register(kind: str, factory: Factory) -> None:
    """Say what makes the work of jobs of this kind."""
    _factories[kind] = factory


def is_registered(kind: str) -> bool:
    """Whether this process knows work of this kind."""
    return kind in _factories


def work_of(job: Job) -> Work:
    """The work of this job.

    Raises WorkRefusedError where it may not be done, and WorkPostponedError where it
    cannot be done here.
    """
    if job.kind not in _factories:
        # In a deploy, workers of before meet jobs of after.
        raise WorkPostponedError(
            f"The job waits for a worker that knows work of kind {job.kind!r}; the one "
            "that took it last does not."
        )

    return _factories[job.kind](job)
