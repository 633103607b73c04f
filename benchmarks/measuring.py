"""What was measured: values with their spread and costs, and how they are taken."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = (
    "LEAST_ROUNDS",
    "Budget",
    "Figure",
    "Kind",
    "Scale",
    "Series",
    "alternate",
    "exponent",
    "within",
)

#: What nobody can beat, what others do, and what we do.
Kind = Literal["floor", "peer", "ours"]
#: A budget of the whole form is overdrawn for these: fewer have no median.
LEAST_ROUNDS = 3
#: But by no more than this many times itself: then there is one round of everything.
OVERDRAFT = 1.3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: the whole, the quick form, or barely anything."""

    rounds: int
    #: Of the sizes of a benchmark (parts, items, sockets), how much.
    size: float
    #: How long a benchmark may wait for one answer.
    patience: float = 60.0

    @property
    def is_whole(self) -> bool:
        return self.size >= 1

    def count(self, whole: int, *, at_least: int = 1) -> int:
        return max(at_least, round(whole * self.size))


@dataclasses.dataclass(slots=True)
class Budget:
    """How long a section may take. What it has no time for is told, never just left
    out."""

    seconds: float
    #: Rounds that are taken though they overdraw it.
    least: int = LEAST_ROUNDS
    began: float = dataclasses.field(default_factory=time.monotonic)
    cuts: list[str] = dataclasses.field(default_factory=list)

    @property
    def spent(self) -> float:
        return time.monotonic() - self.began

    def has(self, seconds: float) -> bool:
        return self.spent + seconds <= self.seconds

    def can_overdraw(self, seconds: float) -> bool:
        return self.spent + seconds <= OVERDRAFT * self.seconds


_budget: contextvars.ContextVar[Budget | None] = contextvars.ContextVar(
    "budget", default=None
)


@contextlib.contextmanager
def within(seconds: float, *, least: int = LEAST_ROUNDS) -> Iterator[Budget]:
    """What `alternate` takes in this scope, it takes within so many seconds."""
    budget = Budget(seconds, least)
    token = _budget.set(budget)

    try:
        yield budget
    finally:
        _budget.reset(token)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One thing measured several times."""

    label: str
    kind: Kind
    values: Sequence[float]
    #: What each value cost beside, by what it is (`meter.CPU` and its kin).
    costs: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    #: Of a curve: the size that each value belongs to.
    at: Sequence[int] = ()
    #: The statements of its last take, the most expensive first.
    statements: Sequence[str] = ()

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

    def cost(self, what: str) -> float | None:
        """The median of one of its costs, if that was measured."""
        values = self.costs.get(what)

        return statistics.median(values) if values else None

    def json(self) -> dict[str, Any]:
        low, high = self.spread
        costs = {
            what: {"median": statistics.median(values), "values": list(values)}
            for what, values in self.costs.items()
            if values
        }

        return {
            "label": self.label,
            "kind": self.kind,
            "median": self.median,
            "quartiles": [low, high],
            "values": list(self.values),
            **({"at": list(self.at)} if self.at else {}),
            **({"costs": costs} if costs else {}),
            **({"statements": list(self.statements)} if self.statements else {}),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return cls(
            label=content["label"],
            kind=content["kind"],
            values=content["values"],
            at=content.get("at", ()),
            statements=content.get("statements", ()),
            costs={
                what: cost["values"] for what, cost in content.get("costs", {}).items()
            },
        )


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
    #: Of curves: what their sizes are sizes of.
    over: str = ""

    def find(self, label: str) -> Series | None:
        return next((one for one in self.series if one.label == label), None)

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
            "over": self.over,
            "note": self.note,
            "series": [series.json() for series in self.series],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        series = [Series.from_json(one) for one in content["series"]]

        return cls(**{**content, "series": series})


def alternate(
    takes: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    least: int | None = None,
    once: Collection[str] = (),
) -> Iterator[tuple[str, Any]]:
    """Take each once per round, every other round in reverse, so that none of them
    is always measured by a warm machine, or a busy one; those of `once` in the first
    round alone.

    More than the `least` rounds (by default the budget's) are taken while the budget
    lasts, and these while it can be overdrawn: the first always.
    """
    names = list(takes)
    budget = _budget.get()
    last = 0.0

    if budget and least is None:
        least = budget.least

    for number in range(rounds):
        if budget and number and not _goes_on(budget, number < (least or 1), last):
            budget.cuts.append(f"{number} of {rounds} rounds of {_called(names)}")
            return

        last = 0.0

        for name in names if number % 2 == 0 else reversed(names):
            if name in once and number:
                continue

            began = time.monotonic()
            yield name, takes[name]()

            # What is not taken again is no measure of what comes.
            if name not in once:
                last += time.monotonic() - began


def _goes_on(budget: Budget, is_needed: bool, seconds: float) -> bool:
    return budget.can_overdraw(seconds) if is_needed else budget.has(seconds)


def _called(names: Sequence[str]) -> str:
    first = f"«{names[0]}»"

    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Of the power law that fits best: 1 is linear."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)

    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum(
        (a - x) ** 2 for a in xs
    )
