"""The jobs' table, and what its queries have in common. Changes nothing."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from django.db import connections, models, router, transaction
from django.db.models import Q
from django.db.models.functions import Now

from django_partstream.models import Job, State

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = (
    "SEQ_STEP",
    "UNFINISHED",
    "after",
    "claimable",
    "jobs",
    "locking",
    "unlocked",
)

UNFINISHED = (State.PENDING, State.PROGRESS)

#: By how much a change of the row raises its `seq`. The number between is that of a
#: job that is being cancelled: word of it is left beside a row that a batch holds.
SEQ_STEP = 2


def jobs() -> models.QuerySet[Job]:
    """All jobs, on the database that they are written to."""
    return Job.objects.using(router.db_for_write(Job))


def after(seconds: float) -> models.Expression:
    return models.ExpressionWrapper(
        Now() + datetime.timedelta(seconds=seconds), output_field=models.DateTimeField()
    )


def claimable() -> Q:
    """Unfinished, held by nobody under a lease, and not to wait."""
    return (
        Q(state__in=UNFINISHED)
        & (Q(lease_until__isnull=True) | Q(lease_until__lt=Now()))
        & (Q(not_before__isnull=True) | Q(not_before__lte=Now()))
    )


def locking() -> AbstractContextManager[None]:
    """The scope that `unlocked` needs."""
    return transaction.atomic(using=jobs().db)


def unlocked(query: models.QuerySet[Job]) -> models.QuerySet[Job]:
    """The rows of the query that nobody has locked, locked.

    A batch may take longer than its lease; then its lock says that it lives. Where the
    database cannot skip locked rows they are among the others.
    """
    if not connections[query.db].features.has_select_for_update_skip_locked:
        return query

    return query.select_for_update(skip_locked=True)
