"""What a part's value depends on, as a key that is the same in every process.

A key that forgets something serves one caller's data to another. So whatever cannot
be told apart from others of its kind is refused, never left out.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import functools
import hashlib
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from django.core.exceptions import EmptyResultSet
from django.db.models import Manager, Model, QuerySet
from django.utils import timezone, translation
from django.utils.functional import Promise

from django_partstream.errors import PartTypeError

from .composed import Composed, current_request
from .declared import name_of

__all__ = ("cache_key", "check_is_told_apart", "identify", "request_of")

VERSION = 1
PREFIX = "django_partstream.part."

#: Query parameters that say how parts are sent, not what is in them.
OF_TRANSPORT: Final = frozenset(("chunk_size", "cursor", "format", "live", "parts"))

#: What a value is held by, innermost last, by identity.
Around: TypeAlias = tuple[int, ...]

_PLAIN = (bool, bytes, complex, float, int, str, type(None))
_TOLD_BY_REPR = (decimal.Decimal, datetime.timedelta, uuid.UUID, range, slice)
_TOLD_BY_ISO = (datetime.date, datetime.time)
_DEEPEST: Final = 50


def cache_key(fn: Callable[..., Any], args: Any, kwargs: Any, who: Any) -> str:
    """The key of what `fn` gives for these arguments and this caller.

    In it are the function with all that it holds on to, the arguments, the view, its
    path and URL arguments, the query, the address of the site, the API's version,
    language and time zone. Raises TypeError (PartTypeError) for what cannot be told
    apart.
    """
    request = request_of(fn, args, kwargs)

    with _told_of(fn):
        parts = (
            VERSION,
            identify(fn),
            identify(args),
            identify(kwargs),
            () if request is None else _of_request(request),
            translation.get_language(),
            timezone.get_current_timezone_name(),
            identify(who),
        )

    digest = hashlib.sha256(repr(parts).encode(errors="surrogatepass"))

    return PREFIX + digest.hexdigest()


def check_is_told_apart(fn: Callable[..., Any]) -> None:
    """Raises TypeError (PartTypeError) for a function that could have no key."""
    with _told_of(fn):
        identify(fn)


@contextlib.contextmanager
def _told_of(fn: Callable[..., Any]) -> Iterator[None]:
    try:
        yield
    except _UnknownError as error:
        raise PartTypeError(
            f"cached_for: {name_of(fn)} holds {error}, which has nothing that tells it "
            "from another, so that one's data could be served for the other's. Make "
            "the function a method of the view, or pass plain values such as keys and "
            "dates."
        ) from error


def request_of(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The request that is being answered: the one given, else that of the part, else
    that of the view whose method this is; None without one."""
    for value in (*args, *kwargs.values()):
        if _is_request(value):
            return value

    return current_request() or getattr(_holder(fn), "request", None)


def _holder(fn: Any) -> Any:
    while isinstance(fn, (Composed, functools.partial)):
        fn = fn.fn if isinstance(fn, Composed) else fn.func

    return getattr(fn, "__self__", None)


def _is_request(value: Any) -> bool:
    # Django's or DRF's: this layer knows no HTTP.
    return hasattr(value, "META") and hasattr(value, "build_absolute_uri")


def _is_view(value: Any) -> bool:
    return hasattr(value, "as_view") and hasattr(value, "http_method_names")


def _of_request(request: Any) -> Any:
    context = getattr(request, "parser_context", None) or {}
    match = getattr(request, "resolver_match", None)
    kwargs = context.get("kwargs")

    if kwargs is None:
        kwargs = match.kwargs if match is not None else {}

    return (
        identify(type(context.get("view"))),
        # One class may stand at several addresses, with other `as_view(…)` options.
        request.path,
        identify(kwargs),
        sorted(
            (name, values)
            for name, values in request.GET.lists()
            if name not in OF_TRANSPORT
        ),
        # Serializers write absolute addresses.
        request.build_absolute_uri("/"),
        identify(getattr(request, "version", None)),
    )


class _UnknownError(Exception):
    """Something that cannot be told from others of its kind."""


def identify(value: Any, around: Around = ()) -> Any:
    """Plain tuples and texts that are equal for equal values, in every process."""
    kind = type(value)

    if kind in _PLAIN:
        return (kind.__name__, repr(value))

    if id(value) in around:
        # A function that calls itself, say.
        return ("around", len(around) - around.index(id(value)))

    if len(around) > _DEEPEST:
        raise _UnknownError("values that are nested too deeply")

    around = (*around, id(value))

    for known, told in _RULES:
        if isinstance(value, known):
            return (_path(kind), told(value, around))

    if _is_request(value):
        return "request"

    if _is_view(value):
        # What it was asked is in the key already.
        return ("view", _path(kind))

    return (_path(kind), _state(value, around))


def _members(value: Any, around: Around) -> Any:
    return [identify(member, around) for member in value]


def _unordered(value: Any, around: Around) -> Any:
    return sorted(map(repr, _members(value, around)))


def _mapping(value: Mapping[Any, Any], around: Around) -> Any:
    return _unordered(value.items(), around)


def _instance(value: Model, around: Around) -> Any:
    if value.pk is None:
        raise _UnknownError(f"an unsaved {value._meta.label}")

    return (value._meta.label, value._state.db, identify(value.pk, around))


def _query(value: QuerySet[Any], around: Around) -> Any:
    try:
        sql, params = value.query.sql_with_params()
    except EmptyResultSet:
        return (value.model._meta.label, "empty")

    return (value.model._meta.label, value.db, sql, identify(params, around))


def _function(fn: types.FunctionType, around: Around) -> Any:
    return (
        fn.__module__,
        fn.__qualname__,
        _fingerprint(fn.__code__),
        identify(fn.__defaults__, around),
        identify(fn.__kwdefaults__, around),
        [_cell(cell, around) for cell in fn.__closure__ or ()],
    )


def _cell(cell: types.CellType, around: Around) -> Any:
    try:
        content = cell.cell_contents
    except ValueError:
        # Not filled yet: the class in whose body a decorated method stands.
        return "empty"

    return identify(content, around)


@functools.lru_cache(maxsize=1024)
def _fingerprint(code: types.CodeType) -> str:
    """Of what the function does and where it stands: two lambdas in one place differ
    in nothing else."""
    constants = [
        _fingerprint(constant)
        if isinstance(constant, types.CodeType)
        else identify(constant)
        for constant in code.co_consts
        if constant is not Ellipsis
    ]
    text = repr(
        (
            code.co_firstlineno,
            list(code.co_positions()),
            code.co_code,
            code.co_names,
            constants,
        )
    )

    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _state(value: Any, around: Around) -> Any:
    """Of any other object: what `pickle` would keep of it, which refuses those whose
    state it cannot see."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception as error:
        raise _UnknownError(f"an object of {_path(type(value))}") from error

    if isinstance(reduced, str):
        return reduced

    made_by, state, members = reduced[:2], reduced[2:3], reduced[3:5]

    return identify((made_by, state, [[*(of or ())] for of in members]), around)


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


#: How values of a kind are told apart; the first that fits counts.
_RULES: Final[tuple[tuple[Any, Callable[[Any, Around], Any]], ...]] = (
    (enum.Enum, lambda value, _: value.name),
    (Promise, lambda value, _: str(value)),
    (_TOLD_BY_REPR, lambda value, _: repr(value)),
    (_TOLD_BY_ISO, lambda value, _: value.isoformat()),
    (type, lambda value, _: _path(value)),
    (Model, _instance),
    (QuerySet, _query),
    (Manager, lambda value, around: _query(value.get_queryset(), around)),
    ((list, tuple), _members),
    ((set, frozenset), _unordered),
    (Mapping, _mapping),
    (Composed, lambda value, around: identify(value.options(), around)),
    (
        functools.partial,
        lambda value, around: identify(
            (value.func, value.args, value.keywords), around
        ),
    ),
    (types.FunctionType, _function),
    (
        types.MethodType,
        lambda value, around: identify((value.__func__, value.__self__), around),
    ),
    (types.ModuleType, lambda value, _: value.__name__),
    (
        types.BuiltinFunctionType,
        lambda value, around: (
            value.__qualname__,
            identify(value.__self__, around),
        ),
    ),
    # Texts and numbers of a kind of their own.
    ((str, bytes, int, float), lambda value, _: repr(value)),
)
