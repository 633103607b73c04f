"""Moments in the life of a job, named so that a test can end a process at any of them.

Nothing happens there unless a hook is set: `django_partstream.testing` sets one, no
other code may.
"""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("Point", "hooked", "reached")


class Point(StrEnum):
    """Before and after each thing that outlives the process."""

    #: Inside the submitting transaction.
    ROW_WRITTEN = "row-written"
    INPUT_WRITTEN = "input-written"
    #: That transaction is committed, and nobody was told.
    SUBMITTED = "submitted"

    BEFORE_DISPATCH = "before-dispatch"
    AFTER_DISPATCH = "after-dispatch"
    BEFORE_PUBLISH = "before-publish"
    AFTER_PUBLISH = "after-publish"

    BEFORE_CLAIM = "before-claim"
    AFTER_CLAIM = "after-claim"

    #: One commit: the transaction begins after the first and ends before the last.
    BEFORE_LOCK = "before-lock"
    AFTER_LOCK = "after-lock"
    #: Rows are written, and more rows of the same transaction are not yet.
    WITHIN_STEP = "within-step"
    AFTER_STEP = "after-step"
    AFTER_RECORD = "after-record"
    AFTER_ADVANCE = "after-advance"
    AFTER_COMMIT = "after-commit"

    BEFORE_RELEASE = "before-release"
    AFTER_RELEASE = "after-release"
    #: The job is given up with a message, not by the last commit of its rows.
    BEFORE_FAIL = "before-fail"
    AFTER_FAIL = "after-fail"
    BEFORE_CANCEL = "before-cancel"
    AFTER_CANCEL = "after-cancel"


_hook: Callable[[Point], None] | None = None


def reached(point: Point) -> None:
    """Tell the hook, where there is one."""
    if _hook is not None:
        _hook(point)


@contextlib.contextmanager
def hooked(hook: Callable[[Point], None]) -> Iterator[None]:
    """Call `hook` at every point that any thread of this process reaches, while the
    scope is open."""
    global _hook
    before, _hook = _hook, hook

    try:
        yield
    finally:
        _hook = before
