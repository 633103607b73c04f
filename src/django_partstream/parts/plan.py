"""A checked list of parts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django_partstream.errors import PlanError, UnknownPartError

from .part import Lazy, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ("MAX_NAME_LENGTH", "Plan", "make_plan")

MAX_NAME_LENGTH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The parts of one response, in declared order, each name once."""

    parts: tuple[Part, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def only(self, names: Iterable[str]) -> Plan:
        """The plan of just these parts. Raises UnknownPartError, which names the
        known ones."""
        wanted = set(names)
        unknown = sorted(wanted.difference(self.names))

        if unknown:
            raise UnknownPartError(
                f"There is no part {', '.join(map(repr, unknown))}. "
                f"Known parts: {', '.join(map(repr, self.names))}.",
                extra={"unknown": unknown, "known": list(self.names)},
            )

        return Plan(tuple(part for part in self.parts if part.name in wanted))


def make_plan(pairs: Any, *, max_parts: int) -> Plan:
    """Check what `get_parts()` returned: an iterable of (name, value) pairs.

    Raises PlanError, whose message says what was found and what to write instead.
    """
    if pairs is None:
        raise PlanError(
            "get_parts() returned None. It must return a list of (name, value) pairs; "
            "return [] for none."
        )

    if isinstance(pairs, (str, bytes, dict)) or not hasattr(pairs, "__iter__"):
        raise PlanError(
            f"get_parts() returned {type(pairs).__name__}. It must return a list of "
            "(name, value) pairs."
        )

    parts = tuple(_part(index, pair) for index, pair in enumerate(pairs))
    _check_names(parts)

    if len(parts) > max_parts:
        raise PlanError(
            f"get_parts() returned {len(parts)} parts; MAX_PARTS allows {max_parts}. "
            "Make one part of several, or raise PARTSTREAM['MAX_PARTS']."
        )

    return Plan(parts)


def _part(index: int, pair: Any) -> Part:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise PlanError(
            f"get_parts()[{index}] is {type(pair).__name__}; expected a pair: "
            "(name, value) or (name, lazy(fn))."
        )

    name, value = pair

    if not isinstance(name, str) or not name or len(name) > MAX_NAME_LENGTH:
        raise PlanError(
            f"get_parts()[{index}] has the name {name!r}; expected a string of 1 to "
            f"{MAX_NAME_LENGTH} characters."
        )

    if "," in name:
        raise PlanError(
            f"The part name {name!r} has a comma, which separates names in ?parts=a,b."
        )

    if callable(value) and not isinstance(value, (Lazy, type)):
        raise PlanError(
            f"Part {name!r} is a function. Write lazy(fn), so that it is called when "
            "the part is sent, or call it."
        )

    return Part(name=name, value=value)


def _check_names(parts: Sequence[Part]) -> None:
    seen: set[str] = set()

    for part in parts:
        if part.name in seen:
            raise PlanError(
                f"get_parts() has two parts with the name {part.name!r}. "
                "Each name must be there once."
            )

        seen.add(part.name)
