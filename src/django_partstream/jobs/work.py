"""The port: what a job does, step by step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from django_partstream.models import Job

__all__ = ("Budget", "Step", "Tally", "Work", "WorkRefusedError", "register", "work_of")


class WorkRefusedError(Exception):
    """The work may not or cannot go on; the job fails with this text, which its owner
    reads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How long one step should take: until `ends_at` on the monotonic clock."""

    ends_at: float

    @classmethod
    def of(cls, seconds: float) -> Budget:
        return cls(time.monotonic() + seconds)

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


#: Makes the work of a job. Raises WorkRefusedError.
Factory = Callable[["Job"], Work]

_factories: dict[str, Factory] = {}


def register(kind: str, factory: Factory) -> None:
    """Say what makes the work of jobs of this kind."""
    _factories[kind] = factory


def work_of(job: Job) -> Work:
    """The work of this job.

    Raises WorkRefusedError where it may not be done, or its kind is not known here.
    """
    if job.kind not in _factories:
        raise WorkRefusedError(f"This worker does not know work of kind {job.kind!r}.")

    return _factories[job.kind](job)
