"""Finished jobs go when their time is up, with their input, outcome and ledger."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from django.core.files.storage import storages
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from django_partstream import conf
from django_partstream.models import Job, JobBatch, JobInput, State

from . import inputs, states

if TYPE_CHECKING:
    from uuid import UUID

    from django.core.files.storage import Storage

__all__ = ("expired", "prune", "prune_strays")

logger = logging.getLogger(__name__)

#: An input in a storage whose job was not committed in this time never will be.
STRAY_SECONDS = 86400.0

#: Ids that are looked up together.
LOOK_UP = 500


def expired() -> QuerySet[Job]:
    """The finished jobs that are older than `RESULT_TTL_SECONDS`, the oldest first."""
    old = Q()

    for state in State:
        if state.terminal:
            old |= Q(state=state, finished_at__lt=states.after(-_ttl(state)))

    return states.jobs().filter(old).order_by("finished_at")


def _ttl(state: State) -> float:
    ttl = conf.current().result_ttl_seconds

    return ttl[state.value] if isinstance(ttl, Mapping) else ttl


def prune(*, limit: int | None = None, dry_run: bool = False) -> int:
    """Delete expired jobs, each in a transaction of its own; how many.

    At most `limit`, the oldest first. Any number of processes may do it at once.
    """
    jobs = expired()

    if dry_run:
        return jobs[:limit].count()

    pruned = 0

    # Ids are small; a job with its input is not.
    for job_id in list(jobs.values_list("pk", flat=True)[:limit]):
        pruned += _delete(job_id)

    return pruned


def _delete(job_id: UUID) -> bool:
    using = states.jobs().db

    with transaction.atomic(using=using):
        # Locked, and perhaps gone by now.
        job = (
            states.jobs()
            .select_for_update()
            .only("input_storage", "input_name")
            .filter(pk=job_id)
            .first()
        )

        if job is None:
            return False

        # Straight in the database: receivers of signals would have every piece of the
        # input loaded.
        for model in (JobInput, JobBatch):
            rows = model._base_manager.using(using).filter(job_id=job_id)
            rows._raw_delete(using)

        job.delete(using=using)

    _discard(job)

    return True


def _discard(job: Job) -> None:
    try:
        inputs.discard(job)
    except Exception:
        # It is a stray from here on.
        logger.warning("the input %s was not deleted", job.input_name, exc_info=True)


def prune_strays(*, dry_run: bool = False) -> int:
    """Delete the inputs in `INPUT_STORAGE` that belong to no job: their request was
    rolled back. How many."""
    alias = conf.current().input_storage

    if alias is None:
        return 0

    storage = storages[alias]
    strays = 0

    for name in _strays(storage):
        strays += 1

        if not dry_run:
            storage.delete(name)

    return strays


def _strays(storage: Storage) -> list[str]:
    try:
        files = storage.listdir(inputs.FOLDER)[1]
    except FileNotFoundError:
        return []

    found: list[str] = []

    for start in range(0, len(files), LOOK_UP):
        names = [f"{inputs.FOLDER}/{name}" for name in files[start : start + LOOK_UP]]
        known = set(
            states.jobs()
            .filter(input_name__in=names)
            .values_list("input_name", flat=True)
        )
        found += [
            name for name in names if name not in known and _is_old(storage, name)
        ]

    return found


def _is_old(storage: Storage, name: str) -> bool:
    try:
        modified = storage.get_modified_time(name)
    except FileNotFoundError:
        return False

    age = timezone.now() - (
        modified if timezone.is_aware(modified) else timezone.make_aware(modified)
    )

    return age > datetime.timedelta(seconds=STRAY_SECONDS)
