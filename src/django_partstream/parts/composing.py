"""Behaviour around part functions: `safe_call` and `with_timeout`.

They compose with each other and with `cached_for` in any order, around sync and async
functions, methods, lambdas, partials.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import contextvars
import functools
import inspect
import logging
import math
import types
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from asgiref.sync import markcoroutinefunction

from django_partstream import offload
from django_partstream.errors import (
    PartOptionError,
    PartTimeoutError,
    PartTypeError,
)

from .evaluating import collect, evaluate, is_pending, is_settled

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "Composed",
    "as_composed",
    "call",
    "check_function",
    "check_seconds",
    "current_request",
    "finish",
    "in_part",
    "is_async",
    "name_of",
    "resolve",
    "safe_call",
    "with_timeout",
)

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class _Missing:
    """Stands for an argument that was not given, as None may be given by mistake."""


_MISSING = _Missing()

#: Of the part that is being made.
_request: contextvars.ContextVar[Any] = contextvars.ContextVar(
    "django_partstream.request", default=None
)


class Composed(abc.ABC):
    """A function with a behaviour around it, of the same signature.

    Called in sync code, one around a sync function returns the value; one around an
    async function returns a coroutine. A part is made by `resolve` in place of that:
    on the event loop, its sync functions in the way of the part. In a class it
    becomes a method. The value is evaluated inside the behaviour, so that a QuerySet
    fails, is timed and is kept there.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        # Not what is in its __dict__: that of another behaviour would replace ours.
        functools.update_wrapper(self, fn, updated=())
        self.fn: Callable[..., Any] = as_composed(fn) or fn
        self.is_async = is_async(self.fn)

        if self.is_async:
            markcoroutinefunction(self)

    @abc.abstractmethod
    def around(self, fn: Callable[..., Any]) -> Self:
        """The same behaviour around another function."""

    @abc.abstractmethod
    def options(self) -> tuple[Any, ...]:
        """All that the value depends on: the function, and how it is surrounded."""

    def check(self) -> None:
        """Raises PartTypeError for what could only fail later."""
        if isinstance(self.fn, Composed):
            self.fn.check()

    @abc.abstractmethod
    async def resolve(self, *args: Any, **kwargs: Any) -> Any:
        """The evaluated value, made from the event loop."""

    @abc.abstractmethod
    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The evaluated value, made in the thread of a sync caller."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.is_async:
            return self.resolve(*args, **kwargs)

        return self.call(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Self:
        if not hasattr(type(self.fn), "__get__"):
            return self

        bound = self.fn.__get__(instance, owner)

        return self if bound is self.fn else self.around(bound)


def as_composed(fn: Any) -> Composed | None:
    """The behaviour of `fn`, also of a partial or method of one; None without one."""
    if isinstance(fn, Composed):
        return fn

    if isinstance(fn, functools.partial) and (inner := as_composed(fn.func)):
        return inner.around(functools.partial(inner.fn, *fn.args, **fn.keywords))

    if isinstance(fn, types.MethodType) and (inner := as_composed(fn.__func__)):
        return inner.around(types.MethodType(inner.fn, fn.__self__))

    return None


def in_part(composed: Composed, *, takes_request: bool) -> Callable[..., Any]:
    """The async function of a part: it is given the request, whoever takes it."""

    async def make(request: Any) -> Any:
        with _for_request(request):
            return await composed.resolve(*((request,) if takes_request else ()))

    return make


@contextlib.contextmanager
def _for_request(request: Any) -> Iterator[None]:
    token = _request.set(request)

    try:
        yield
    finally:
        _request.reset(token)


def current_request() -> Any:
    """The request of the part that is being made; None outside of one."""
    return _request.get()


def is_async(fn: Any) -> bool:
    """Whether calling it gives something to await, without running anything."""
    if isinstance(fn, Composed):
        return fn.is_async

    # Of an object that is called like a function, what it is called by.
    called = fn if inspect.isroutine(fn) else getattr(fn, "__call__", fn)  # noqa: B004

    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (fn, called)
    )


async def resolve(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The evaluated value of any function, made from the event loop: a sync one is
    called in the way of the part at hand."""
    if isinstance(fn, Composed):
        return await fn.resolve(*args, **kwargs)

    if is_async(fn):
        value = fn(*args, **kwargs)
    else:
        value = await offload.run_here(call, fn, *args, **kwargs)

        if not is_pending(value):
            return value

    return await finish(value)


def call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the function returns, evaluated unless that takes an event loop."""
    value = fn(*args, **kwargs)

    return value if is_pending(value) else evaluate(value)


async def finish(value: Any) -> Any:
    """The evaluated value of what an async function gave."""
    while inspect.isawaitable(value):
        value = await value

    if is_pending(value):
        value = await collect(value)

    return value if is_settled(value) else await offload.run_here(evaluate, value)


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
