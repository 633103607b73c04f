"""RFC 9457 problem documents, as values."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import PartstreamError

__all__ = ("CONTENT_TYPE", "FieldError", "Problem", "problem_of")

CONTENT_TYPE = "application/problem+json"


class FieldError(TypedDict):
    """One thing that is wrong with an input. `pointer` is RFC 6901."""

    pointer: str
    code: str
    detail: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What went wrong, for a client. Never holds an application's exception text
    unless DEBUG is on; whoever makes one answers for that."""

    status: int
    code: str
    detail: str
    title: str = ""
    type: str = "about:blank"
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def wire(self) -> dict[str, Any]:
        """The document: the five members of ours, then the further ones."""
        return {
            "type": self.type,
            "title": self.title or _phrase(self.status),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }


def problem_of(error: PartstreamError) -> Problem:
    """The problem document of one of our own errors."""
    return Problem(
        status=error.status, code=error.code, detail=error.detail, extra=error.extra
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
