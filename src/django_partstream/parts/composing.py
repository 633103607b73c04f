"""Behaviour around part functions: `safe_call` and `with_timeout`.

They compose with each other and with `cached_for` in any order, around sync and async
functions, methods, lambdas, partials.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, overload

from django_partstream.errors import PartTimeoutError, PartTypeError

from .composed import Composed, call, finish, resolve
from .declared import check_function, check_seconds, name_of
from .evaluating import is_pending

__all__ = ("SafeCall", "WithTimeout", "safe_call", "with_timeout")

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class _Missing:
    """Stands for an argument that was not given, as None may be given by mistake."""


_MISSING = _Missing()


class SafeCall(Composed):
    """See `safe_call`."""

    def __init__(self, fn: Callable[..., Any], fallback: Any) -> None:
        super().__init__(fn)
        self.fallback = fallback

    def around(self, fn: Callable[..., Any]) -> Self:
        return type(self)(fn, self.fallback)

    def options(self) -> tuple[Any, ...]:
        return (self.fn, self.fallback)

    async def resolve(self, *args: Any, **kwargs: Any) -> Any:
        return await self._guarded(resolve(self.fn, *args, **kwargs))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        try:
            value = call(self.fn, *args, **kwargs)
        except Exception as error:
            return self._fall_back(error)

        return self._guarded(finish(value)) if is_pending(value) else value

    async def _guarded(self, work: Awaitable[Any]) -> Any:
        try:
            return await work
        except Exception as error:
            return self._fall_back(error)

    def _fall_back(self, error: Exception) -> Any:
        logger.warning(
            "safe_call: %s failed; it gives its fallback",
            name_of(self.fn),
            exc_info=error,
        )

        return self.fallback


class WithTimeout(Composed):
    """See `with_timeout`."""

    def __init__(self, fn: Callable[..., Any], seconds: float) -> None:
        super().__init__(fn)
        self.seconds = seconds

    def around(self, fn: Callable[..., Any]) -> Self:
        return type(self)(fn, self.seconds)

    def options(self) -> tuple[Any, ...]:
        return (self.fn, self.seconds)

    async def resolve(self, *args: Any, **kwargs: Any) -> Any:
        return await self._limited(resolve(self.fn, *args, **kwargs))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        value = call(self.fn, *args, **kwargs)

        return self._limited(finish(value)) if is_pending(value) else value

    async def _limited(self, work: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self.seconds) as limit:
                return await work
        except TimeoutError as error:
            # The function's own TimeoutError is a failure like any other.
            if not limit.expired():
                raise

            raise PartTimeoutError(seconds=self.seconds) from error


@overload
def safe_call(fn: F, fallback: Any = None) -> F: ...


@overload
def safe_call(*, fallback: Any = None) -> Callable[[F], F]: ...


def safe_call(fn: Any = _MISSING, fallback: Any = None) -> Any:
    """Make `fn` return `fallback`, a value, in place of raising.

    The error is logged. A cancelled part ends all the same. Also a decorator:
    `@safe_call`, `@safe_call(fallback=[])`.

    Raises TypeError when `fn` is not a function, or `fallback` is one.
    """
    if callable(fallback):
        raise PartTypeError(
            f"safe_call(fallback={name_of(fallback)}): the fallback is a value, not a "
            "function. Call it, or catch the exception in the part itself."
        )

    if fn is _MISSING:
        return functools.partial(safe_call, fallback=fallback)

    check_function("safe_call", fn)

    return SafeCall(fn, fallback)


@overload
def with_timeout(fn: F, seconds: float) -> F: ...


@overload
def with_timeout(fn: float) -> Callable[[F], F]: ...


@overload
def with_timeout(*, seconds: float) -> Callable[[F], F]: ...


def with_timeout(fn: Any = _MISSING, seconds: Any = _MISSING) -> Any:
    """End the work of `fn` after so many seconds: the part is an error with code
    `timeout`, or what a `safe_call` around it says.

    An async function is cancelled; of a sync one the statement that it waits for,
    where the database can do that. Called from sync code it has no limit, for no one
    can end it there. Also a decorator: `@with_timeout(30)`.

    Raises TypeError when `fn` is not a function, ValueError for bad seconds.
    """
    if seconds is _MISSING:
        if fn is _MISSING or callable(fn):
            raise PartTypeError(
                "with_timeout() needs seconds: with_timeout(self.get_data, 30), or "
                "@with_timeout(30)."
            )

        fn, seconds = _MISSING, fn

    check_seconds(f"with_timeout(…, {seconds!r})", seconds)

    if fn is _MISSING:
        return functools.partial(_with_timeout, seconds)

    return _with_timeout(seconds, fn)


def _with_timeout(seconds: float, fn: Any) -> Any:
    check_function("with_timeout", fn)

    return WithTimeout(fn, seconds)
