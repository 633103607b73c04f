"""What was measured: values with their spread, and how they are taken."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ("Figure", "Kind", "Scale", "Series", "alternate", "exponent")

#: What nobody can beat, what others do, and what we do.
Kind = Literal["floor", "peer", "ours"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: the whole, the quick form, or barely anything."""

    rounds: int
    #: Of the sizes of a benchmark (parts, items, sockets), how much.
    size: float
    #: How long a benchmark may wait for one answer.
    patience: float = 60.0

    def count(self, whole: int, *, at_least: int = 1) -> int:
        return max(at_least, round(whole * self.size))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One thing measured several times."""

    label: str
    kind: Kind
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles: half of the values lie between them."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]

        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")

        return low, high

    def json(self) -> dict[str, Any]:
        low, high = self.spread

        return {
            "label": self.label,
            "kind": self.kind,
            "median": self.median,
            "quartiles": [low, high],
            "values": list(self.values),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Series that answer one question together; one plot and one table."""

    name: str
    title: str
    unit: str
    series: Sequence[Series]
    #: What was done, and what was not.
    note: str
    better: Literal["lower", "higher"] = "lower"
    #: What DESIGN asks for, in words.
    goal: str = ""

    def ratio(self, series: Series) -> float | None:
        """Against the first floor; above 1 is worse."""
        floors = [one for one in self.series if one.kind == "floor"]

        if not floors or not floors[0].median or not series.median:
            return None

        if self.better == "higher":
            return floors[0].median / series.median

        return series.median / floors[0].median

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "better": self.better,
            "goal": self.goal,
            "note": self.note,
            "series": [series.json() for series in self.series],
        }


def alternate(
    takes: Mapping[str, Callable[[], Any]], *, rounds: int
) -> Iterator[tuple[str, Any]]:
    """Take each once per round, every other round in reverse, so that none of them
    is always measured by a warm machine, or a busy one."""
    names = list(takes)

    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            yield name, takes[name]()


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Of the power law that fits best: 1 is linear."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)

    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )
