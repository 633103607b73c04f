"""What all servers send: the same bytes, or the same objects."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ("FRAMES", "ITEMS", "items", "row")

ITEMS = int(os.environ.get("BENCH_ITEMS", "100000"))

#: Of a view with three parts: what `ours` sends, with cursors of the same length.
_CURSOR = b"x" * 110
FRAMES = (
    b'{"type":"start","v":1,"parts":["meta","orders","stock"],"cursor":"%b"}\n'
    % _CURSOR,
    b'{"type":"part","name":"meta","data":{"shop":"north"},"cursor":"%b","ms":0.1}\n'
    % _CURSOR,
    b'{"type":"part","name":"orders","data":[1,2,3],"cursor":"%b","ms":0.1}\n'
    % _CURSOR,
    b'{"type":"part","name":"stock","data":{"apples":4},"cursor":null,"ms":0.1}\n',
    b'{"type":"end","ok":3,"failed":0,"cursor":null,"reason":"complete"}\n',
)


def row(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"item {number}", "price": number / 4, "sold": False}


async def items(count: int) -> AsyncIterator[dict[str, Any]]:
    """Items that are ready, one after the other."""
    for number in range(count):
        yield row(number)
