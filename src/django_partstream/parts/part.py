"""A part of a progressive response, as a value."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar, Literal, get_args

from django_partstream.errors import PartOptionError, PartTypeError

from .composed import as_composed, in_part
from .declared import check_function, check_seconds, name_of

__all__ = ("Lazy", "Part", "PartFunction", "Thread", "lazy")

#: Takes the request or nothing; sync or async.
PartFunction = Callable[..., Any]

Thread = Literal["pool", "request"]

#: By shape, whether functions take the request.
_known: dict[Hashable, bool] = {}
MAX_KNOWN = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lazy:
    """A value that is made when the part is sent."""

    #: Said of one that is found inside of data.
    encoding_hint: ClassVar[str] = (
        "lazy(...) makes a part, and no value inside of one. Give it a name of its own "
        "in get_parts()."
    )

    fn: PartFunction
    takes_request: bool
    #: A serializer class for model instances.
    serializer: type[Any] | None
    #: Seconds.
    timeout: float | None
    #: What `publish` names to have a live stream make this part again.
    topics: tuple[str, ...] = ()
    thread: Thread


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A name and a value: data, or `Lazy`."""

    name: str
    value: Any


def lazy(
    fn: PartFunction,
    *,
    serializer: type[Any] | None = None,
    timeout: float | None = None,
    topics: Iterable[str] = (),
    thread: Thread = "pool",
) -> Lazy:
    """Make the value of a part from `fn` when the part is sent.

    `fn` takes the request or nothing (an argument with a default gets the request only
    when it is called `request`), is sync or async, and returns JSON-able data,
    a QuerySet of dicts, a serializer, or an (async) iterable of such; with
    `serializer` (a serializer class) also a model instance or a QuerySet of them.
    A sync `fn` runs in a thread of ours with its own database connections, or, with
    `thread="request"`, in the thread of the request, one part at a time. After
    `timeout` seconds the part is an error with code `timeout`. A live stream makes it
    again whenever one of its `topics` is published.

    `safe_call`, `with_timeout` and `cached_for` go inside: `lazy(safe_call(fn))`.

    Raises TypeError when `fn` is not a function or takes other arguments, ValueError
    for a bad option; both are PlanErrors.
    """
    check_function("lazy", fn)
    takes_request = _takes_request(fn)

    if timeout is not None:
        check_seconds(f"lazy(timeout={timeout!r})", timeout)

    if serializer is not None and not isinstance(serializer, type):
        raise PartTypeError(
            f"lazy(serializer=…): expected a serializer class, not an object of "
            f"{type(serializer).__name__}. Write serializer=OrderSerializer."
        )

    if thread not in get_args(Thread):
        raise PartOptionError(f"lazy(thread={thread!r}): expected 'pool' or 'request'.")

    composed = as_composed(fn)

    if composed is not None:
        composed.check()
        fn, takes_request = in_part(composed, takes_request=takes_request), True

    return Lazy(
        fn=fn,
        takes_request=takes_request,
        serializer=serializer,
        timeout=timeout,
        topics=_topics(topics),
        thread=thread,
    )


def _topics(topics: Iterable[str]) -> tuple[str, ...]:
    # A text is an iterable of its letters, and `topics=("orders")` is one.
    names = () if isinstance(topics, str) else tuple(dict.fromkeys(topics))

    if isinstance(topics, str) or not all(
        isinstance(name, str) and name for name in names
    ):
        raise PartOptionError(
            f"lazy(topics={topics!r}): expected a tuple of names, such as "
            "topics=('orders',)."
        )

    return names


def _takes_request(fn: PartFunction) -> bool:
    # Parts are declared on every request, mostly by the same few functions.
    shape = _shape(fn)

    if shape is None:
        return _looks_for_request(fn)

    if shape not in _known:
        if len(_known) >= MAX_KNOWN:
            _known.clear()

        _known[shape] = _looks_for_request(fn)

    return _known[shape]


def _shape(fn: PartFunction) -> Hashable:
    """What the arguments of a plain function or method depend on; None where they may
    depend on more, such as what a decorator left."""
    is_method = isinstance(fn, types.MethodType)
    function: Any = getattr(fn, "__func__", None) if is_method else fn

    if not isinstance(function, types.FunctionType) or function.__dict__:
        return None

    return (
        function.__code__,
        is_method,
        len(function.__defaults__ or ()),
        frozenset(function.__kwdefaults__ or ()),
    )


def _looks_for_request(fn: PartFunction) -> bool:
    try:
        signature = inspect.signature(fn)
    except ValueError:
        # A builtin that does not tell. It will be given the request.
        return True

    for takes_request in _candidates(signature):
        try:
            signature.bind(*((None,) if takes_request else ()))
        except TypeError:
            continue

        return takes_request

    raise PartTypeError(
        f"lazy({name_of(fn)}): the function takes {signature}, but it is called with "
        "the request, or with nothing. Give its other arguments a default, or wrap "
        "it: lazy(lambda request: …)."
    )


def _candidates(signature: inspect.Signature) -> tuple[bool, bool]:
    # `lambda name=name: …` keeps a loop's value and must not get the request for it.
    wants = any(
        parameter.name == "request"
        or parameter.kind is parameter.VAR_POSITIONAL
        or parameter.default is parameter.empty
        for parameter in signature.parameters.values()
    )

    return wants, not wants
