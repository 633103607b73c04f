"""The values that readers of rows give and take. No I/O."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .block import Block
    from .outcome import RowError

__all__ = (
    "FORMULA_STARTS",
    "MAX_CELL_LENGTH",
    "MAX_RECORD_BYTES",
    "OWN_COLUMNS",
    "OWN_MEMBERS",
    "Dialect",
    "Inspection",
    "Position",
    "Row",
    "escaped",
    "unescaped",
)

#: No record, of whatever format, may be longer; a reader holds one at a time.
MAX_RECORD_BYTES = 1024 * 1024
#: Characters in one CSV cell.
MAX_CELL_LENGTH = 128 * 1024

#: A text cell that starts so is taken for a formula by spreadsheets (OWASP, CSV
#: Injection). Our files have a quote before it, which goes when they come back.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

#: Columns of our result files; ignored when such a file comes back.
OWN_COLUMNS = frozenset({"_row", "_outcome", "_pk", "_errors"})


#: What a line of our NDJSON result files has; when it comes back, `data` is the row.
OWN_MEMBERS = frozenset({"row", "line", "outcome", "pk", "data", "errors"})


def escaped(cell: str) -> str:
    """The cell as a spreadsheet shows it; `unescaped` undoes it."""
    return (
        f"'{cell}" if _is_formula(cell.lstrip("'")) and not _is_number(cell) else cell
    )


def unescaped(cell: str) -> str:
    """The cell as it was before `escaped`."""
    is_escaped = cell.startswith("'") and _is_formula(cell.lstrip("'"))

    return cell[1:] if is_escaped else cell


def _is_formula(text: str) -> bool:
    return text.startswith(FORMULA_STARTS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False

    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """All that must be known to read an upload anew, from any `Position`."""

    format: Literal["csv", "json", "ndjson"]
    encoding: str
    #: CSV only.
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    #: Bytes before the first record, and the physical lines in them.
    start: int = 0
    line: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "columns": list(self.columns)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Dialect:
        return cls(**{**values, "columns": tuple(values["columns"])})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far reading has come: bytes consumed, rows and physical lines read."""

    offset: int = 0
    row: int = 0
    line: int = 0

    def as_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, int]) -> Position:
        return cls(**values)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record of the input, as it came: in CSV a dict of strings."""

    #: From 1; blank lines do not count.
    number: int
    #: First physical line, from 1, where the format has lines.
    line: int | None
    data: Any
    #: What is wrong with its form, so that no serializer is asked.
    errors: tuple[RowError, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What one reading of the whole upload found."""

    dialect: Dialect
    rows: int
    #: All of them, where they are few.
    blocks: tuple[Block, ...] | None = None
