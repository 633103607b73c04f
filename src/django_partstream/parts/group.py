"""Some items of a list, encoded together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from django_partstream import encoding
from django_partstream.errors import UnencodableError

__all__ = (
    "GROUP_BYTES",
    "GROUP_ITEMS",
    "Counted",
    "EncodeMany",
    "Piece",
    "counted",
    "encode_together",
)

#: Some items, as JSON with commas between, and how many they became.
Piece: TypeAlias = tuple[bytes, int]
#: Encodes several items at once.
EncodeMany: TypeAlias = Callable[[Sequence[Any]], Piece]

#: Of a group, about.
GROUP_ITEMS = 200
GROUP_BYTES = 16 * 1024


def encode_together(items: Sequence[Any]) -> Piece:
    """For items that need no serializer. Raises UnencodableError."""
    return encoding.encode(items)[1:-1], len(items)


class Counted:
    """How many items of a list have been encoded."""

    items = 0


@contextlib.contextmanager
def counted() -> Iterator[Counted]:
    """Have an item that cannot be encoded told by its place in the whole list."""
    found = Counted()

    try:
        yield found
    except UnencodableError as error:
        raise UnencodableError(f"After {found.items} items: {error.detail}") from error
