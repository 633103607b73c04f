"""What is said of declarations that cannot be, where they are made."""

from __future__ import annotations

import functools
import inspect
import math
from typing import Any, cast

from django_partstream.errors import PartOptionError, PartTypeError

__all__ = ("check_function", "check_seconds", "name_of")


def check_seconds(call: str, seconds: Any) -> None:
    """Raises ValueError (PartOptionError) for what is no time above zero."""
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, (int, float))
        or not 0 < seconds < math.inf
    ):
        raise PartOptionError(f"{call}: expected seconds above zero.")


def check_function(caller: str, fn: Any) -> None:
    """Raises TypeError (PartTypeError) for what cannot be called, with the mend."""
    if callable(fn):
        return

    if inspect.iscoroutine(fn):
        fn.close()

    if isinstance(fn, classmethod):
        raise PartTypeError(
            f"{caller}() got a classmethod. Put @classmethod above @{caller}."
        )

    if hasattr(fn, "takes_request"):
        mend = "once" if caller == "lazy" else f"last: lazy({caller}(self.get_data))"
        raise PartTypeError(f"{caller}() got what lazy() made. lazy comes {mend}.")

    raise PartTypeError(
        f"{caller}() needs a function, not {type(fn).__name__}. Was the function "
        f"called already? Write {caller}(self.get_data), not "
        f"{caller}(self.get_data())."
    )


def name_of(fn: Any) -> str:
    """How a function is called in messages."""
    while isinstance(fn, functools.partial):
        fn = fn.func

    return cast("str", getattr(fn, "__qualname__", None) or repr(fn))
