"""The search for the row that raises, or that ends the process.

A batch that failed is cut into small ones, and the small one that fails into single
rows. The others are committed on the way, so the search never starts again; and as a
death costs a lease but a small commit only milliseconds, the cuts are deep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream import conf

if TYPE_CHECKING:
    from django_partstream.models import Job

__all__ = ("Suspicion", "at_claim")

#: A suspected batch is cut into so many.
CUTS = 50

#: Workers that die at one place before its rows are suspected: one may always die.
DEATHS = 2

#: How often a row may end its process, when it stands alone; deploys kill too.
TRIES = 3


def at_claim(job: Job, *, died: bool) -> dict[str, Any]:
    """What the death of the worker that had the job says about its next batch.

    A worker dies between batches too, in a deploy for example. Once a batch is
    suspected its begin is written down, and only what was begun can be blamed.
    """
    if not died:
        return {}

    changes: dict[str, Any] = {"attempts": job.attempts + 1}

    if job.narrowed_to is None:
        if job.attempts + 1 >= DEATHS:
            changes |= {"narrowed_to": _cut(conf.current().batch_size), "begun": 0}
    elif job.narrowed_to > 1 and job.begun:
        changes |= {"narrowed_to": _cut(job.narrowed_to), "begun": 0}

    return changes


def _cut(rows: int) -> int:
    return max(1, rows // CUTS)


class Suspicion:
    """How small the batches of a slice must be, and what is known of their rows."""

    def __init__(self, job: Job) -> None:
        #: None: nothing is suspected.
        self.rows = job.narrowed_to
        #: A process has died of it, so that begins are to be written down.
        self.deadly = self.rows is not None
        #: The next row has been tried alone often enough.
        self.proven = self.rows == 1 and job.begun >= TRIES
        self._left = 0 if self.rows is None else self._reach(job)

    def _reach(self, job: Job) -> int:
        """How many rows may hide the one that is looked for."""
        assert self.rows is not None  # or nothing is looked for
        batch = conf.current().batch_size

        if self.rows >= _cut(batch):
            # A commit of about a second, or a whole batch.
            return max(batch, int(2 * (job.rate or 0)))

        return self.rows * CUTS

    def raised(self, job: Job) -> None:
        """The batch has raised: look closer, or be sure."""
        if self.rows is None:
            self.rows = _cut(conf.current().batch_size)
            self._left = self._reach(job)
        elif self.rows > 1:
            self._left = self.rows
            self.rows = _cut(self.rows)
        else:
            self.proven = True

    def after(self, rows: int) -> int | None:
        """To what the next batch is cut, if so many rows go well or are left out."""
        return self.rows if self._left > rows else None

    def passed(self, rows: int) -> None:
        """So many rows went well, or were left out."""
        self.rows = self.after(rows)
        self.deadly = self.deadly and self.rows is not None
        self.proven = False
        self._left -= rows
