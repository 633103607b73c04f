"""How much a value is, before it is encoded."""

from __future__ import annotations

from typing import Any

__all__ = ("is_small",)

#: Members of containers, and 64 characters of text each.
BUDGET = 1_000


def is_small(value: Any) -> bool:
    """Whether encoding the value takes no time to speak of, if it is plain data.

    What is in other containers than dicts, lists and tuples is not looked at.
    """
    left = BUDGET
    stack = [value]

    while stack:
        one = stack.pop()
        kind = type(one)

        if kind is dict:
            left -= len(one)
            members: Any = one.values()
        elif kind is list or kind is tuple:
            left -= len(one)
            members = one
        elif kind is str or kind is bytes:
            left -= len(one) // 64
            members = ()
        else:
            continue

        if left < 0:
            return False

        stack.extend(members)

    return True
