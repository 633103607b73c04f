"""What is said of a value that has no JSON form, and where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db.models import Model

from django_partstream.errors import UnencodableError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = (
    "BAD_FRAGMENT",
    "CIRCULAR",
    "COROUTINE",
    "FUNCTION",
    "KEY",
    "MAX_DEPTH",
    "MODEL",
    "NOT_FINITE",
    "NOT_UTF8",
    "NO_RULE",
    "SERIALIZER",
    "SURROGATE",
    "TOO_DEEP",
    "TOO_LONG",
    "ZONED_TIME",
    "RefusedError",
)

# orjson's own.
MAX_DEPTH: Final = 254

BAD_FRAGMENT: Final = "its content is not UTF-8, as bytes or str. Give it encoded JSON."
COROUTINE: Final = (
    "a coroutine is not what it returns. Write `await` before it, in an async function."
)
FUNCTION: Final = "a function is not what it returns. Call it."
SERIALIZER: Final = "a serializer is not its data. Write `.data` behind it."
CIRCULAR: Final = "it contains itself. Break the circle, for example by primary keys."
KEY: Final = (
    "a key is a str, int, float, bool or None. Convert it first, for example with "
    "str(key)."
)
MODEL: Final = (
    "a model instance is never dumped, because every column would leak. Name a "
    "serializer with lazy(..., serializer=...), or return .values(...)."
)
NOT_FINITE: Final = (
    "it is NaN or infinite, which JSON has not. Send None in its place or leave it out."
)
NOT_UTF8: Final = (
    "bytes are written as the UTF-8 that they hold, which these do not. Encode them "
    "first, for example as base64."
)
NO_RULE: Final = (
    "neither JSON nor DRF's JSONEncoder has a form for it. Convert it first, for "
    "example with a serializer."
)
SURROGATE: Final = (
    "it holds a lone surrogate, which UTF-8 has not. Decode it with another error "
    "handler than 'surrogateescape' or 'surrogatepass'."
)
TOO_DEEP: Final = f"it is nested deeper than {MAX_DEPTH} containers. Flatten it."
TOO_LONG: Final = "it has more digits than Python turns into text. Send it as text."
ZONED_TIME: Final = "a time with a time zone has no JSON form. Send a datetime."


class RefusedError(Exception):
    """Collects the way down to the culprit on its own way up."""

    def __init__(self, culprit: Any, problem: str, *, noun: str = "value") -> None:
        super().__init__(problem)
        self.culprit = culprit
        self.problem = problem
        self.noun = noun
        #: Keys and indices, innermost first.
        self.trail: list[str | int] = []

    def public(self) -> UnencodableError:
        return UnencodableError(
            f"Cannot encode a {self.noun} of type {_type_name(self.culprit)!r}"
            f"{_where(reversed(self.trail))}: {self.problem}"
        )


def _type_name(value: Any) -> str:
    if isinstance(value, Model):
        return value._meta.label

    return type(value).__qualname__


def _where(keys: Iterable[str | int]) -> str:
    """As a JSON pointer; cut, because keys are data and may be long."""
    pointer = "".join(
        "/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys
    )

    if not pointer:
        return ""

    if len(pointer) > 120:
        pointer = pointer[:120] + "…"

    return f" at '{pointer.encode('utf-8', 'backslashreplace').decode()}'"
