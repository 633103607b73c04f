"""Who may see a job, and whether those who follow one still may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from .table import jobs

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

__all__ = ("CHANGE", "VIEW", "may", "no_longer")

#: The permissions by which staff sees, and cancels or retries, anybody's job.
VIEW = "partstream.view_job"
CHANGE = "partstream.change_job"


def may(user: Any, owner_id: Any, *permissions: str) -> bool:
    """Whether a user of the database is the owner, or staff with one of these."""
    if owner_id == user.pk:
        return True

    return getattr(user, "is_staff", False) and any(map(user.has_perm, permissions))


def no_longer(asked: Collection[tuple[UUID, Any]]) -> set[tuple[UUID, Any]]:
    """Of these jobs and keys of users, those where the user may not see the job, as
    both are now. A job without an owner may be seen by all."""
    query = jobs().filter(pk__in={job_id for job_id, _ in asked}, owner__isnull=False)
    owners = dict(query.values_list("pk", "owner_id"))
    owned = [pair for pair in asked if pair[0] in owners]

    if not owned:
        return set()

    # Read anew, so that their permissions are.
    users = get_user_model()._default_manager.in_bulk({pk for _, pk in owned})

    return {
        (job_id, pk)
        for job_id, pk in owned
        if (user := users.get(pk)) is None
        or not user.is_active
        or not may(user, owners[job_id], VIEW, CHANGE)
    }
