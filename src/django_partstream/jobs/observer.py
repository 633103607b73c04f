"""What becomes of jobs in this process, told to whoever wants to know.

Nothing here knows who listens: the heartbeat counts, `contrib.prometheus` does too.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import (
    TYPE_CHECKING,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
)

from django_partstream.observers import Observers

from .work import Tally

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable
    from uuid import UUID

__all__ = (
    "JobEvent",
    "JobObserver",
    "notify",
    "observe_jobs",
    "slices",
    "unobserve_jobs",
)

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job here.

    `claimed`: a slice began. `committed`: a batch is in the database. `ended`: the
    slice is over, as `end` says. `poisoned`: a row that killed its workers was found.
    `unpublished`: the queue did not take the job; the sweeper will try again.
    """

    kind: Literal["claimed", "committed", "ended", "poisoned", "unpublished"]
    job_id: UUID
    #: The kind of the job, as its status says in `operation_type`; "" where that is
    #: not known.
    work: str = ""
    #: `claimed`: somebody else's lease had run out.
    takeover: bool = False
    #: `committed`: of the whole batch, with its wait for the row's lock.
    seconds: float | None = None
    #: `committed`: how many rows came to which end.
    tally: Tally = dataclasses.field(default_factory=Tally)
    #: `ended`: `finished`, `released` for another slice, `lost` to somebody else or
    #: to a cancel, `interrupted` by a database that did not answer.
    end: str = ""


class JobObserver(Protocol):
    """Called in the thread that works on the job, several at once."""

    def __call__(self, event: JobEvent, /) -> object: ...


Observing = TypeVar("Observing", bound=JobObserver)
P = ParamSpec("P")
End = TypeVar("End", bound="enum.Enum")

_observers = Observers[JobEvent](logger, "an observer of jobs failed")


def observe_jobs(observer: Observing) -> Observing:
    """Tell `observer` of every job of this process from now on. Also a decorator.

        @observe_jobs
        def log_takeovers(event):
            if event.takeover:
                logger.warning("job %s was taken over", event.job_id)

    It is called with a `JobEvent` in the thread that works on the job, which waits for
    it. One that raises is logged, and harms no job. Raises TypeError for a coroutine
    function.
    """
    _observers.add(
        observer,
        f"observe_jobs({observer!r}): expected a plain function of one event. It is "
        "called in the thread of the job and cannot be awaited; let it put the event "
        "on a queue that something else reads.",
    )

    return observer


def unobserve_jobs(observer: JobObserver) -> None:
    """Tell `observer` no more. Of one that is not told, nothing."""
    _observers.remove(observer)


def notify(event: JobEvent) -> None:
    """Tell all observers."""
    _observers.tell(event, job_id=str(event.job_id))


def slices(
    run: Callable[Concatenate[UUID, P], End],
) -> Callable[Concatenate[UUID, P], End]:
    """Tell how each call of `run` ended, but for jobs that it did not get."""

    @functools.wraps(run)
    def observed(job_id: UUID, /, *args: P.args, **kwargs: P.kwargs) -> End:
        end = run(job_id, *args, **kwargs)

        if end.name != "NOT_CLAIMED":
            notify(JobEvent(kind="ended", job_id=job_id, end=end.name.lower()))

        return end

    return observed
