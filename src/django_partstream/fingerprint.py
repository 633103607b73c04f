"""What a serializer is, so that a job is not gone on with by another one.

Names, types and options of its writable fields; what only describes them, and what
depends on stored data, does not count.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from rest_framework.fields import HiddenField

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("difference", "digest", "fields_of")

#: In messages, or other whenever a row is stored.
IGNORED = frozenset(
    {"label", "help_text", "style", "error_messages", "initial", "choices", "queryset"}
)

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fields_of(serializer: Any) -> dict[str, str]:
    """A short hash of each writable field, by its name."""
    return {
        name: _hash(_said(field))
        for name, field in serializer.fields.items()
        if not field.read_only or isinstance(field, HiddenField)
    }


def digest(fields: Mapping[str, str]) -> str:
    return _hash(repr(sorted(fields.items())), 64)


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """In words, which fields are not what they were."""
    found = {
        "added": [name for name in now if name not in before],
        "removed": [name for name in before if name not in now],
        "changed": [name for name in now if before.get(name, now[name]) != now[name]],
    }

    return "; ".join(
        f"{what}: {', '.join(map(repr, names))}"
        for what, names in found.items()
        if names
    )


def _hash(text: str, length: int = 12) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _said(field: Any) -> str:
    kind = type(field)
    options = {
        name: value for name, value in field._kwargs.items() if name not in IGNORED
    }
    said = [
        f"{kind.__module__}.{kind.__qualname__}",
        repr(field._args),
        repr(sorted((name, repr(value)) for name, value in options.items())),
    ]
    inner: Any = getattr(field, "child", None) or getattr(field, "child_relation", None)

    if inner is not None:
        said.append(_said(inner))

    if hasattr(field, "fields"):
        said.append(repr(sorted(fields_of(field).items())))

    return ADDRESS.sub("", " ".join(said))
