"""`max_errors`: how many rows of a job may fail before it is stopped: `5`, or `10%`."""

from __future__ import annotations

import re
from typing import Any

from .errors import BadRequestError

__all__ = ("spec_of",)

FORM = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?(%)?", re.ASCII)


def spec_of(view: Any, given: str | None, total: int) -> dict[str, int]:
    """What a job of so many rows keeps of it: of what the client gave, or else the
    view says. Raises BadRequestError."""
    value = given if given is not None else view.max_errors

    if value is None:
        return {}

    return {"max_errors": _rows(str(value).strip(), total)}


def _rows(text: str, total: int) -> int:
    found = FORM.fullmatch(text)

    if found is None or (found[2] and not found[3]) or (found[3] and _above(found)):
        raise BadRequestError(
            f"max_errors is {text[:40]!r}; expected how many rows may fail, such as "
            "'100', or how many of a hundred, such as '2.5%'."
        )

    if not found[3]:
        return int(found[1])

    # In whole numbers: 29% of 100 is 29.
    part = found[2] or ""

    return total * int(found[1] + part) // int("100" + "0" * len(part))


def _above(found: re.Match[str]) -> bool:
    return float(f"{found[1]}.{found[2] or 0}") > 100
