"""Work of a project's own, as jobs: how it is made known, and submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from . import work
from .submit import submit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from django_partstream.models import Job

    from .work import Factory

__all__ = ("register_work", "submit_work")

MAX_KIND_LENGTH = 100

Made = TypeVar("Made", bound="Factory")


def register_work(kind: str) -> Callable[[Made], Made]:
    """Decorate what makes the work of jobs of this kind from their `Job`: a class with
    `using` and `step` (see `Work`), or a function that returns such an object.

    Every process that works on jobs must have imported it: do so in `ready()` of an
    app. A job of a kind that a worker does not know waits for one that does. Raises
    ValueError for a kind that is taken.
    """
    if not kind or len(kind) > MAX_KIND_LENGTH or kind.startswith(work.OURS):
        raise ValueError(
            f"The kind is {kind!r}; expected a name of at most {MAX_KIND_LENGTH} "
            f"characters that does not begin with {work.OURS!r}."
        )

    def register(factory: Made) -> Made:
        work.register(kind, factory)

        return factory

    return register


def submit_work(
    kind: str,
    *,
    owner: Any = None,
    spec: Mapping[str, Any] | None = None,
    total: int = 0,
    max_errors: int | None = None,
    stream: BinaryIO | None = None,
) -> Job:
    """Write a job of this kind in the caller's transaction, and hand it to the queue
    when that is committed. Returns at once.

    `spec` is JSON that the work reads from its `job.spec`; `total` is in rows, for the
    progress; `owner` may follow and cancel it (None: whoever knows its id). A `stream`
    of bytes is kept with the job. More failed rows than `max_errors` stop it.

    Raises TooManyJobsError where the owner has `JOBS_PER_USER` unfinished ones, and
    ValueError for a kind that nobody has registered here.
    """
    if not work.is_registered(kind):
        raise ValueError(
            f"No work of kind {kind!r} is registered in this process. Import the "
            f"module that has @register_work({kind!r}) in ready() of its app."
        )

    limit = {} if max_errors is None else {"max_errors": max_errors}

    return submit(
        kind=kind,
        owner=owner,
        spec={**(spec or {}), **limit},
        total=total,
        stream=stream,
    )
