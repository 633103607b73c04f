"""How many jobs wait and run, and for how long the first one has waited."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from django.db.models import Case, Count, DurationField, ExpressionWrapper, Min, Q, When
from django.db.models.functions import Now

from django_partstream.models import State

from . import states

__all__ = ("Depth", "depth")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """The queue, as the table has it."""

    waiting: int
    running: int
    #: Since the first of those that wait came, or was given back; 0 where none waits.
    oldest_seconds: float


def depth() -> Depth:
    """One query, over the jobs that have not ended."""
    held = Q(lease_until__gte=Now())
    since = Case(When(state=State.PENDING, then="created_at"), default="dispatched_at")
    found: dict[str, Any] = (
        states.jobs()
        .filter(state__in=states.UNFINISHED)
        .aggregate(
            waiting=Count("pk", filter=~held),
            running=Count("pk", filter=held),
            oldest=ExpressionWrapper(
                Now() - Min(since, filter=~held), output_field=DurationField()
            ),
        )
    )
    oldest = found["oldest"] or datetime.timedelta()

    return Depth(
        waiting=found["waiting"],
        running=found["running"],
        oldest_seconds=max(0.0, oldest.total_seconds()),
    )
