"""A queue whose workers commit often, so that there is much to be killed between."""

from __future__ import annotations

from django_partstream.jobs.database_queue import DatabaseQueue

__all__ = ("QuickQueue",)


class QuickQueue(DatabaseQueue):
    commit_seconds = 0.02
