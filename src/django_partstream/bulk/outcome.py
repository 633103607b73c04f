"""What became of a row. Values only."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rest_framework.settings import api_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("Counts", "Kind", "Outcome", "RowError", "row_errors")


@dataclasses.dataclass(frozen=True, slots=True)
class RowError:
    """One thing that is wrong with a row. `pointer` (RFC 6901) leads to the field;
    it is empty where the row as a whole is meant."""

    pointer: str
    code: str
    detail: str

    def __post_init__(self) -> None:
        # What is quoted of the input may hold lone surrogates, which no answer can.
        for name in ("pointer", "detail"):
            text = getattr(self, name)

            if not text.isascii():
                shown = text.encode("utf-8", "backslashreplace").decode()
                object.__setattr__(self, name, shown)


class Kind(StrEnum):
    """What was done with a row."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one input row."""

    #: From 1.
    row: int
    #: First physical line, where the input has lines.
    line: int | None
    kind: Kind
    pk: Any = None
    errors: tuple[RowError, ...] = ()
    #: The input as it came; kept for failed rows only.
    data: Any = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows of each kind; together, the rows of the input."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: int = 0

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Counts:
        return cls(**Counter(outcome.kind.value for outcome in outcomes))

    @property
    def total(self) -> int:
        return self.created + self.updated + self.unchanged + self.deleted + self.failed

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            created=self.created + other.created,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
            deleted=self.deleted + other.deleted,
            failed=self.failed + other.failed,
        )


def row_errors(detail: Any) -> tuple[RowError, ...]:
    """DRF's tree of `ErrorDetail`s, flat and in its order."""
    return tuple(_flatten(detail, ""))


def _flatten(detail: Any, pointer: str) -> Iterator[RowError]:
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            yield from _flatten(inner, _below(pointer, key))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            is_text = isinstance(inner, str)
            yield from _flatten(inner, pointer if is_text else f"{pointer}/{index}")
    else:
        yield RowError(pointer, getattr(detail, "code", "invalid"), str(detail))


def _below(pointer: str, key: Any) -> str:
    if key == api_settings.NON_FIELD_ERRORS_KEY:
        return pointer

    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
