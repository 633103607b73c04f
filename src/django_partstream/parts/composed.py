"""Functions with a behaviour around them, and how their values are made."""

from __future__ import annotations

import abc
import contextlib
import contextvars
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import markcoroutinefunction

from django_partstream import offload

from .evaluating import collect, evaluate, is_pending, is_settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = (
    "Composed",
    "as_composed",
    "call",
    "current_request",
    "finish",
    "in_part",
    "is_async",
    "resolve",
)

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

    # For whoever asks what the function says of itself.
    make.__wrapped__ = composed  # type: ignore[attr-defined]

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
