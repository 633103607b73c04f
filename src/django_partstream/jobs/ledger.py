"""What became of the rows that one commit wrote, packed for its ledger row.

Bounded by the commit, and cheap: a letter for each row, and its primary key unless
the keys count up.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("pack", "unpack")

LETTERS = {
    "created": "c",
    "updated": "u",
    "unchanged": "n",
    "deleted": "d",
    "failed": "f",
}
WORDS = {letter: word for word, letter in LETTERS.items()}

FAILED = "failed"


def pack(kinds: Sequence[str], pks: Sequence[Any]) -> bytes:
    """The outcomes of rows that follow each other: what became of each, and the
    primary keys of those that did not fail."""
    if not kinds:
        return b""

    counted = _counts_up(pks)
    value = {
        "kinds": "".join(map(LETTERS.__getitem__, kinds)),
        "from": pks[0] if counted else None,
        "pks": () if counted else pks,
    }

    return zlib.compress(orjson.dumps(value, default=str), 1)


def _counts_up(pks: Sequence[Any]) -> bool:
    if not pks or type(pks[0]) is not int or type(pks[-1]) is not int:
        return False

    first, last = pks[0], pks[-1]

    return last - first == len(pks) - 1 and list(pks) == list(range(first, last + 1))


def unpack(packed: bytes) -> Iterator[tuple[str, Any]]:
    """What became of each row in turn, and its primary key; None where it failed."""
    if not packed:
        return

    value = orjson.loads(zlib.decompress(packed))
    kinds = value["kinds"]
    first = value["from"]
    pks = iter(value["pks"] if first is None else range(first, first + len(kinds)))

    for letter in kinds:
        kind = WORDS[letter]
        yield kind, None if kind == FAILED else next(pks)
