"""What became of a part."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from django.conf import settings

from django_partstream import frames
from django_partstream.problems import Problem

if TYPE_CHECKING:
    from django_partstream.encoding import Encoded
    from django_partstream.errors import PartTimeoutError

__all__ = ("Resolved", "failed_problem", "gone_problem", "timeout_problem")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A part that was tried: its data, the count of its items, or its problem."""

    name: str
    #: Of its own work.
    ms: float
    data: Encoded | None = None
    #: Of a list whose items went out, or still wait to, on their own.
    count: int | None = None
    problem: Problem | None = None

    def frame(self, cursor: str | None) -> frames.Part | frames.Error:
        if self.problem is None:
            return frames.Part(
                name=self.name,
                data=self.data,
                count=self.count,
                cursor=cursor,
                ms=self.ms,
            )

        return frames.Error(
            name=self.name, error=self.problem, cursor=cursor, ms=self.ms
        )


def failed_problem(name: str, error: BaseException, *, code: str) -> Problem:
    """Of a part that raised. The exception is told only where DEBUG is on."""
    detail = "This part could not be made."

    if settings.DEBUG:
        detail = f"{type(error).__name__}: {error}"

    return Problem(status=500, code=code, detail=detail, extra={"part": name})


def timeout_problem(name: str, error: PartTimeoutError) -> Problem:
    """Of a part that took longer than it may."""
    return Problem(
        status=error.status, code=error.code, detail=error.detail, extra={"part": name}
    )


def gone_problem(name: str) -> Problem:
    """Of a part that a cursor owes and the view no longer has."""
    return Problem(
        status=410,
        code="gone",
        detail="This part is no longer there.",
        extra={"part": name},
    )
