"""How the value of a part is made and becomes JSON."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django_partstream import encoding, offload
from django_partstream.errors import UnencodableError

from .items import is_list, put_all
from .part import Lazy, Part
from .size import is_small

if TYPE_CHECKING:
    from .feed import Feed
    from .group import EncodeMany, Piece

__all__ = ("evaluate", "is_ready", "plain_data")


def is_ready(part: Part) -> bool:
    """Whether the value is there, and leaves before any lazy part is awaited."""
    return not isinstance(part.value, Lazy) and not is_list(part.value)


def plain_data(value: Any) -> encoding.Encoded | None:
    """The value as JSON, where that takes little time and runs nobody's code."""
    if isinstance(value, encoding.Encoded):
        return value

    plain = encoding.encode_plain(value) if is_small(value) else None

    return None if plain is None else encoding.Encoded(plain)


async def evaluate(part: Part, request: Any, feed: Feed) -> encoding.Encoded | None:
    """The part's data; None where it is a list, whose items were put into `feed`.

    Runs the application's code: sync code as `offload.run_here` does, where a value
    is encoded as well, since that may evaluate it. Plain data that is small is
    encoded on the loop. Raises whatever the application's code raises, and
    UnencodableError.
    """
    value, serializer = part.value, None

    if isinstance(value, Lazy):
        serializer = value.serializer
        value = await _called(value, request)

    while inspect.isawaitable(value):
        value = await value

    if is_list(value):
        encode_many = _encode_many(serializer, request) if serializer else None
        await put_all(value, feed, encode_many)

        return None

    if serializer is None or isinstance(value, encoding.Encoded):
        plain = plain_data(value)

        if plain is not None:
            return plain

    encoded: encoding.Encoded = await offload.run_here(
        _encode, value, serializer, request
    )

    return encoded


async def _called(value: Lazy, request: Any) -> Any:
    """What the function returns, encoded already where it returns data in a thread."""
    arguments = (request,) if value.takes_request else ()

    # Such a call runs nothing of the function's: it only makes a generator.
    if _makes_generator(value.fn):
        return value.fn(*arguments)

    return await offload.run_here(
        _call_and_encode, value.fn, arguments, value.serializer, request
    )


def _makes_generator(fn: Callable[..., Any]) -> bool:
    return (
        inspect.iscoroutinefunction(fn)
        or inspect.isasyncgenfunction(fn)
        or inspect.isgeneratorfunction(fn)
    )


def _call_and_encode(
    fn: Callable[..., Any],
    arguments: tuple[Any, ...],
    serializer: type[Any] | None,
    request: Any,
) -> Any:
    value = fn(*arguments)

    if inspect.isawaitable(value) or is_list(value):
        return value

    return _encode(value, serializer, request)


def _encode(value: Any, serializer: type[Any] | None, request: Any) -> encoding.Encoded:
    _check(value)

    if serializer is not None:
        many = not isinstance(value, Mapping) and isinstance(value, Iterable)
        value = serializer(value, many=many, context={"request": request})

    # A serializer is known by what it offers, so that this layer needs no DRF.
    if hasattr(type(value), "to_representation") and hasattr(type(value), "data"):
        value = value.data

    return encoding.Encoded(encoding.encode(value))


def _check(value: Any) -> None:
    if isinstance(value, Lazy):
        raise UnencodableError(
            "The part's function returned lazy(...). Return the value itself: the "
            "function is called when the part is sent."
        )

    if hasattr(value, "set_cookie"):
        raise UnencodableError(
            f"The part's value is a {type(value).__name__}. A part has no status, no "
            "headers and no cookies; return the data alone, and set those in the view."
        )


def _encode_many(serializer: type[Any], request: Any) -> EncodeMany:
    return functools.partial(_serialize, serializer, request)


def _serialize(serializer: type[Any], request: Any, items: Sequence[Any]) -> Piece:
    data = serializer(items, many=True, context={"request": request}).data

    return encoding.encode(data)[1:-1], len(data)
