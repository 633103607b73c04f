"""The `Prefer` header, RFC 7240."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Preferences", "parse")

_PREFERENCE = re.compile(
    r"""\s* (?P<name> [!#$%&'*+.^_`|~0-9A-Za-z-]+ ) \s*
        (?: = \s* (?: "(?P<quoted> [^"]* )" | (?P<token> [^\s,;]* ) ) )? """,
    re.VERBOSE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Preferences:
    """What a client would like. A preference that we do not know is ignored, as the
    RFC asks; those that were heeded are said in `Preference-Applied`."""

    values: dict[str, str]

    @property
    def respond_async(self) -> bool:
        return "respond-async" in self.values

    @property
    def wait(self) -> int | None:
        """Seconds for which the client would wait; None where it does not say."""
        value = self.values.get("wait", "")

        return int(value) if value.isascii() and value.isdecimal() else None

    @property
    def minimal(self) -> bool:
        return self.values.get("return") == "minimal"

    @property
    def lenient(self) -> bool:
        """Good rows are written though others are bad."""
        return self.values.get("handling") == "lenient"

    @property
    def rollback(self) -> bool:
        """Everything is tried and nothing stays: PostgREST's word for a dry run."""
        return self.values.get("tx") == "rollback"


def parse(header: str | None) -> Preferences:
    """Read a `Prefer` header. Names are in lower case; of a name that comes twice the
    first counts (section 2)."""
    values: dict[str, str] = {}

    for name, value in _pairs(header or ""):
        values.setdefault(name.lower(), value)

    return Preferences(values)


def _pairs(header: str) -> Iterator[tuple[str, str]]:
    for item in re.findall(r'(?:[^,"]|"[^"]*")+', header):
        match = _PREFERENCE.match(item)

        if match is not None:
            quoted, token = match["quoted"], match["token"]
            yield match["name"], quoted if quoted is not None else token or ""
