"""The short form of slow suites, for `make test`; the long one for `make test-long`;
and how patient both are."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = os.environ.get("PARTSTREAM_LONG") == "1"

#: How many seconds anything may take on a busy machine; nothing waits for them to pass.
PATIENCE = 60.0


def count(short: int, long: int) -> int:
    """How many inputs, rounds or streams this run takes."""
    return long if LONG else short


def cases(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All that the axes can be together; in the short form so many that any two values
    of two axes meet."""
    every = [*itertools.product(*axes)]

    return every if LONG else pairs(*axes)


def pairs(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Few of the product, the same ones always, in which any two values of two axes
    are together."""
    numbered = [[(axis, i) for i in range(len(some))] for axis, some in enumerate(axes)]
    covers = {
        one: {*itertools.combinations(one, 2)} for one in itertools.product(*numbered)
    }
    left = set().union(*covers.values())
    chosen = []

    while left:
        best = max(covers, key=lambda one: len(left & covers[one]))
        left -= covers.pop(best)
        chosen.append(tuple(axes[axis][i] for axis, i in best))

    return chosen
