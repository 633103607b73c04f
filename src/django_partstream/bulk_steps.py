"""How much of a bulk operation one step of its job does, and what is told of it."""

from __future__ import annotations

import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Any

from . import conf, encoding
from .bulk.outcome import Kind
from .errors import UnencodableError
from .jobs.progress import INLINE_IDS
from .jobs.work import Step, Tally

if TYPE_CHECKING:
    from collections.abc import Container

    from .bulk.outcome import Outcome
    from .bulk.outcomes import Outcomes
    from .bulk.row import Position
    from .jobs.work import Budget

__all__ = ("BatchSize", "failure_of", "step_of")


class BatchSize:
    """How many rows are validated together: no more than about a commit's worth, so
    that it comes well before the lease runs out, however slow a row is."""

    #: When nothing is known about them yet.
    FIRST = 50
    #: What a batch takes at most, as far as the last one tells. The last of a commit
    #: may be as long: what was read ahead is not cut in pieces.
    SECONDS = 1.0

    #: In a process that serves as well: what whole columns are done with at once
    #: keeps its other threads waiting.
    SERVING, SERVING_SECONDS = 500, 0.25
    #: There, a pause after each batch, as a share of its time and at most in seconds.
    PAUSE, LONGEST_PAUSE = 0.1, 0.02

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._is_serving = conf.current().queue == "embedded"

    @property
    def most(self) -> int:
        """Rows of the largest batch."""
        size = conf.current().batch_size

        return min(size, self.SERVING) if self._is_serving else size

    @property
    def may_read_ahead(self) -> bool:
        """Whether another thread may be busy beside the one that writes."""
        return not self._is_serving

    def next(self, budget: Budget, taken: int) -> int:
        size = self.most

        if budget.rows is not None:
            size = min(size, budget.rows - taken)

        if self._rate is None:
            return max(1, min(size, self.FIRST))

        seconds = self.SERVING_SECONDS if self._is_serving else self.SECONDS

        return max(1, min(size, int(self._rate * seconds)))

    def took(self, rows: int, seconds: float) -> None:
        self._rate = rows / max(seconds, 1e-4)

        if self._is_serving:
            time.sleep(min(self.LONGEST_PAUSE, self.PAUSE * seconds))


def step_of(
    outcomes: Outcomes, position: Position, malformed: Container[int], *, done: bool
) -> Step:
    """What these outcomes come to, with the position after the last of them.

    `malformed`: the numbers of rows that no serializer was asked about.
    """
    return Step(
        cursor=position.as_dict(),
        done=done,
        tally=Tally(**dataclasses.asdict(outcomes.counts())),
        created_ids=_ids(outcomes, Kind.CREATED),
        updated_ids=_ids(outcomes, Kind.UPDATED),
        deleted_ids=_ids(outcomes, Kind.DELETED),
        failures=tuple(
            # What has no form has none in a retry.
            failure_of(o) | ({"malformed": True} if o.row in malformed else {})
            for o in outcomes.failed
        ),
        kinds=outcomes.kinds,
        pks=outcomes.written(),
    )


def _ids(outcomes: Outcomes, kind: Kind) -> tuple[Any, ...]:
    # No more are shown; the ledger has all of them.
    first = itertools.islice(outcomes.of_kind(kind), INLINE_IDS)

    return tuple(pk if isinstance(pk, int) else str(pk) for pk in first)


def failure_of(outcome: Outcome) -> dict[str, Any]:
    """A refused row, with the members that older documents promise beside ours."""
    return {
        "index": outcome.row - 1,
        "row": outcome.row,
        "line": outcome.line,
        "outcome": "failed",
        "pk": None,
        "error": "; ".join(
            f"{error.pointer.removeprefix('/') or 'row'}: {error.detail}"
            for error in outcome.errors
        ),
        "data": _jsonable(outcome.data),
        "errors": [dataclasses.asdict(error) for error in outcome.errors],
    }


def _jsonable(value: Any) -> Any:
    # What came in as CSV or JSON goes out as JSON, lone surrogates apart.
    try:
        encoding.encode(value)
    except UnencodableError:
        return None

    return value
