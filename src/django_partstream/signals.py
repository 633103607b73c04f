"""What this package tells of itself by Django's signals."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.dispatch import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model

__all__ = ("bulk_written", "job_progressed", "send_bulk_written")

#: Sent once for every batch of rows that was written, after its commit, in place of
#: a `post_save` or `post_delete` for each. `sender` is the model, `using` the alias of
#: the database, `created`, `updated` and `deleted` are lists of primary keys. At most
#: once: a process that dies between commit and signal sends none.
bulk_written = Signal()

#: Sent in the worker when a job of its was taken up, after each of its commits and at
#: its end. `sender` is the model of jobs, `job` the job, `snapshot` what its status
#: says. At most once; what a receiver raises is logged, and harms no job.
job_progressed = Signal()


def send_bulk_written(
    model: type[Model],
    *,
    using: str,
    created: Sequence[Any],
    updated: Sequence[Any],
    deleted: Sequence[Any],
) -> None:
    """Send it when the transaction on `using` commits. What a receiver raises is
    logged by Django, and harms nobody."""
    if not (created or updated or deleted):
        return

    send = functools.partial(
        bulk_written.send_robust,
        sender=model,
        using=using,
        created=list(created),
        updated=list(updated),
        deleted=list(deleted),
    )
    transaction.on_commit(send, using=using, robust=True)
