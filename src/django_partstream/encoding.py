"""JSON, at orjson's speed, with the values of DRF's `JSONEncoder`.

A value goes through orjson, which asks for what it does not write as DRF does. Only
the way to what orjson cannot write, or has written wrongly (it turns NaN into null),
is walked here.

For every value, reading the result gives what reading
`rest_framework.utils.json.dumps(value, cls=JSONEncoder)` gives, or both refuse,
except that

- NaN and the infinities are refused whatever STRICT_JSON says, Decimal's and
  NumPy's too: a silent null would be wrong data;
- a model instance is always refused, an iterable one too;
- containers nested deeper than 254 may be refused (`Encoded` counts as none);
- a lazy string may be a key, as its text; DRF refuses it. Other keys that are not
  str, int, float, bool or None are refused, as by DRF;
- a member of a plain `enum.Enum` is its `value`, also where a mixed-in type has
  another content; DRF refuses plain members and takes the content of mixed ones;
- of two keys with one text, the later is the only one written.

No frame, no transport, no setting is known here.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import inspect
import json
import math
import uuid
from typing import TYPE_CHECKING, Any, Final, NoReturn

import orjson
from django.db.models import Model
from django.utils.encoding import force_str
from django.utils.functional import Promise
from rest_framework.utils.encoders import JSONEncoder

from . import frames
from .errors import UnencodableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = (
    "Encoded",
    "encode",
    "encode_as_drf",
    "encode_each",
    "encode_frame",
    "encode_plain",
)

#: JSON that is encoded already, as bytes or str: exactly one valid JSON value, which
#: is not checked. `encode` embeds it as it is, at any depth.
Encoded = orjson.Fragment

# Subclasses, because orjson reads a QueryDict past its `items()`. Datetimes, because
# orjson rounds the seconds of an offset away and mistakes unusual tzinfo classes.
_OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)

# orjson's own.
_MAX_DEPTH: Final = 254
# How deep opened containers are still tried: each try may go over all that is below.
_MAX_TRIES: Final = 8
_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1

_CONTAINERS: Final = frozenset((dict, list, tuple))
_NATIVE: Final = _CONTAINERS | {bool}
# Types that cannot hide a float from `has_non_finite`, to be quick there.
_OPAQUE: Final = frozenset(
    (
        bool,
        datetime.date,
        datetime.datetime,
        decimal.Decimal,
        int,
        str,
        type(None),
        uuid.UUID,
    )
)

_BAD_FRAGMENT: Final = (
    "its content is not UTF-8, as bytes or str. Give it encoded JSON."
)
_COROUTINE: Final = (
    "a coroutine is not what it returns. Write `await` before it, in an async function."
)
_FUNCTION: Final = "a function is not what it returns. Call it."
_SERIALIZER: Final = "a serializer is not its data. Write `.data` behind it."
_CIRCULAR: Final = "it contains itself. Break the circle, for example by primary keys."
_KEY: Final = (
    "a key is a str, int, float, bool or None. Convert it first, for example with "
    "str(key)."
)
_MODEL: Final = (
    "a model instance is never dumped, because every column would leak. Name a "
    "serializer with lazy(..., serializer=...), or return .values(...)."
)
_NOT_FINITE: Final = (
    "it is NaN or infinite, which JSON has not. Send None in its place or leave it out."
)
_NOT_UTF8: Final = (
    "bytes are written as the UTF-8 that they hold, which these do not. Encode them "
    "first, for example as base64."
)
_NO_RULE: Final = (
    "neither JSON nor DRF's JSONEncoder has a form for it. Convert it first, for "
    "example with a serializer."
)
_SURROGATE: Final = (
    "it holds a lone surrogate, which UTF-8 has not. Decode it with another error "
    "handler than 'surrogateescape' or 'surrogatepass'."
)
_TOO_DEEP: Final = f"it is nested deeper than {_MAX_DEPTH} containers. Flatten it."
_TOO_LONG: Final = "it has more digits than Python turns into text. Send it as text."
_ZONED_TIME: Final = "a time with a time zone has no JSON form. Send a datetime."


def encode(value: Any) -> bytes:
    """The value as compact UTF-8 JSON on one line, whoever may split the lines.

    Evaluates QuerySets and iterators, each once, so that it belongs off the event
    loop where `value` may hold one. What their code raises comes out as it is.

    Raises:
        UnencodableError: something in `value` has no JSON form (see the module's
            rules). The message says where and of which type, never the value.
    """
    return _fitted(_one_line(_Encoding().run(value)))


def encode_each(values: Iterable[Any]) -> Iterator[bytes]:
    """Each value as by `encode`, except that it is for embedding only: in what is
    encoded later, which makes one line of it.

    Raises what `values` raises, and as `encode` does.
    """
    encoding = _Encoding()

    for value in values:
        text = encoding.run(value)

        if encoding.replays:
            encoding = _Encoding()

        yield text


def encode_plain(value: Any) -> bytes | None:
    """The value as by `encode`; None where that would call or evaluate something.

    Safe on the event loop, where only the size of `value` matters.
    """
    try:
        text = orjson.dumps(value, _plain_default, _OPTIONS)
    except (orjson.JSONEncodeError, RecursionError):
        return None

    # It may be a NaN, or it may not.
    if b"null" in text and _Encoding().has_non_finite(value):
        return None

    return _fitted(_one_line(text))


def encode_as_drf(value: Any) -> bytes | None:
    """Lists and dicts of nothing but texts, integers, booleans and nulls, as DRF's
    stock renderer writes them; None where orjson cannot."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None

    return text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(
        b"\xe2\x80\xa9", b"\\u2029"
    )


def encode_frame(frame: frames.Frame) -> bytes:
    """The frame as one JSON object, without a newline. Raises as `encode` does."""
    if isinstance(frame, frames.Progress):
        return _encode_progress(frame)

    document = frames.wire(frame)

    # What is large is most often encoded already, and need not be searched for NaNs.
    if type(document.get("items", document.get("data"))) is Encoded:
        try:
            return _one_line(orjson.dumps(document, None, _OPTIONS))
        except orjson.JSONEncodeError:
            pass

    return encode(document)


#: Snapshots whose text is kept.
PROGRESS_KEPT = 32
#: What was encoded last, with its snapshot, by the identity of that: whoever follows a
#: job in this process is handed the same one.
_progress: dict[int, tuple[Mapping[str, Any], bytes]] = {}


def _encode_progress(frame: frames.Progress) -> bytes:
    key = id(frame.snapshot)
    known = _progress.get(key)

    if known is not None and known[0] is frame.snapshot:
        return known[1]

    text = encode(frames.wire(frame))

    if len(_progress) >= PROGRESS_KEPT:
        _progress.clear()

    _progress[key] = frame.snapshot, text

    return text


def _fitted(text: bytes) -> bytes:
    # orjson leaves 4 KiB to whatever is shorter, and it may be kept for hours.
    return b"%b" % text if len(text) < 2048 else text


def _one_line(text: bytes) -> bytes:
    # DRF escapes U+2028 and U+2029. They and U+0085 end a line for str.splitlines,
    # with which Python clients cut NDJSON. Inside JSON they can only be in a string,
    # and a bare newline (out of an indented `Encoded`) only between two tokens.
    if not text.isascii():
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028")
        text = text.replace(b"\xe2\x80\xa9", b"\\u2029")
        text = text.replace(b"\xc2\x85", b"\\u0085")

    return text.replace(b"\n", b" ").replace(b"\r", b" ")


class _RefusedError(Exception):
    """Collects the way down to the culprit on its own way up."""

    def __init__(self, culprit: Any, problem: str, *, noun: str = "value") -> None:
        super().__init__(problem)
        self.culprit = culprit
        self.problem = problem
        self.noun = noun
        #: Keys and indices, innermost first.
        self.trail: list[str | int] = []

    def public(self) -> UnencodableError:
        return UnencodableError(
            f"Cannot encode a {self.noun} of type {_type_name(self.culprit)!r}"
            f"{_where(reversed(self.trail))}: {self.problem}"
        )


def _type_name(value: Any) -> str:
    if isinstance(value, Model):
        return value._meta.label

    return type(value).__qualname__


def _where(keys: Iterable[str | int]) -> str:
    """As a JSON pointer; cut, because keys are data and may be long."""
    pointer = "".join(
        "/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys
    )

    if not pointer:
        return ""

    if len(pointer) > 120:
        pointer = pointer[:120] + "…"

    return f" at '{pointer.encode('utf-8', 'backslashreplace').decode()}'"


class _NoRule(json.JSONEncoder):
    def default(self, o: Any) -> NoReturn:
        raise _RefusedError(o, _mend(o))


def _mend(value: Any) -> str:
    if inspect.iscoroutine(value):
        value.close()
        return _COROUTINE

    if inspect.isroutine(value):
        return _FUNCTION

    return getattr(type(value), "encoding_hint", _NO_RULE)


class _Rules(JSONEncoder, _NoRule):
    # DRF's `super().default(obj)` for what it does not know lands in _NoRule, so that
    # a refusal is never mistaken for a TypeError out of the value's own code.
    pass


_drf_default: Final[Callable[[Any], Any]] = _Rules().default


def _datetime(value: datetime.datetime) -> Any:
    # For these two orjson writes what DRF does, in a third of the time.
    if value.tzinfo is None or value.tzinfo is datetime.UTC:
        return Encoded(orjson.dumps(value, None, orjson.OPT_UTC_Z))

    return _drf_default(value)


def _decimal(value: decimal.Decimal) -> float:
    try:
        return _finite(float(value))
    except ValueError as error:  # A signalling NaN.
        raise _RefusedError(value, _NOT_FINITE) from error


# By exact type, for what comes in numbers.
_EXACT: Final[dict[type, Callable[[Any], Any]]] = {
    datetime.datetime: _datetime,
    datetime.date: datetime.date.isoformat,
    decimal.Decimal: _decimal,
}


def _plain_default(value: Any) -> Any:
    if (exact := _EXACT.get(type(value))) is None:
        raise _RefusedError(value, _NO_RULE)

    return exact(value)


def _simpler(value: Any) -> Any:
    """The value in simpler types: json.dumps's rules first, which look past what a
    subclass overrides in str, int and float, then DRF's."""
    kind = type(value)

    if issubclass(kind, str):
        return str.__str__(value)

    if issubclass(kind, int):
        return int.__int__(value)

    if issubclass(kind, float):
        return _finite(float.__pos__(value))

    if issubclass(kind, list):
        return list(value)

    if issubclass(kind, tuple):
        return tuple(value)

    if issubclass(kind, dict):
        return dict(value.items()) if dict.__len__(value) else {}

    return _by_drf(value)


def _by_drf(value: Any) -> Any:
    if isinstance(value, Model):
        raise _RefusedError(value, _MODEL)

    if isinstance(value, decimal.Decimal):
        return _decimal(value)

    if hasattr(type(value), "to_representation") and hasattr(type(value), "data"):
        raise _RefusedError(value, _SERIALIZER)

    try:
        result = _drf_default(value)
    except _RefusedError:
        # orjson takes the members of a class made by EnumType itself; those of one
        # with another metaclass, such as Django's Choices, come here.
        if not isinstance(value, enum.Enum):
            raise

        result = value.value
    except ValueError as error:
        if isinstance(value, bytes):
            raise _RefusedError(value, _NOT_UTF8) from error

        if isinstance(value, datetime.time):
            raise _RefusedError(value, _ZONED_TIME) from error

        raise

    return _finite(result) if type(result) is float else result


def _finite(number: float, *, noun: str = "value") -> float:
    if not math.isfinite(number):
        raise _RefusedError(number, _NOT_FINITE, noun=noun)

    return number


def _utf8(text: str, *, noun: str = "value") -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _RefusedError(text, _SURROGATE, noun=noun) from error

    return text


def _digits(number: int, *, noun: str = "value") -> str:
    try:
        return int.__repr__(number)
    except ValueError as error:
        raise _RefusedError(number, _TOO_LONG, noun=noun) from error


def _integer(number: int) -> int | orjson.Fragment:
    if _MIN_INT <= number <= _MAX_INT:
        return number

    return Encoded(_digits(number).encode())


def _fragment(fragment: orjson.Fragment) -> orjson.Fragment:
    try:
        orjson.dumps(fragment)
    except orjson.JSONEncodeError as error:
        raise _RefusedError(fragment, _BAD_FRAGMENT) from error

    return fragment


# What orjson takes itself, if it passes.
_CHECKED: Final[dict[type, Callable[[Any], Any]]] = {
    float: _finite,
    int: _integer,
    orjson.Fragment: _fragment,
    str: _utf8,
}

_CONSTANTS: Final = {True: "true", False: "false", None: "null"}


def _key(key: Any) -> str:
    """The text of a key, as json.dumps has it."""
    kind = type(key)

    if issubclass(kind, str):
        return _utf8(str.__str__(key), noun="key")

    if key is None or kind is bool:
        return _CONSTANTS[key]

    if issubclass(kind, int):
        return _digits(key, noun="key")

    if issubclass(kind, float):
        return float.__repr__(_finite(key, noun="key"))

    if isinstance(key, Promise):
        return _utf8(force_str(key), noun="key")

    raise _RefusedError(key, _KEY, noun="key")


class _Encoding:
    """One call of `encode`.

    A container that orjson fails on is opened and its members are tried one by one,
    so that little but the way to what orjson cannot take is walked in Python. An
    iterator inside is met by several tries and can be read but once. Hence a try
    notes what each object became, and if it fails, the objects become the same again,
    in the same order, since every try meets them in one order.
    """

    __slots__ = ("around", "made", "raised", "replays")

    def __init__(self) -> None:
        #: The objects that are open, by identity.
        self.around: set[int] = set()
        #: What became a container in the running try, and the container.
        self.made: list[tuple[Any, Any]] = []
        #: What `default` raised: orjson hides it behind an error of its own.
        self.raised: BaseException | None = None
        #: `made` of tries that failed, by the identity of the object.
        self.replays: dict[int, collections.deque[tuple[Any, Any]]] = {}

    def run(self, value: Any) -> bytes:
        try:
            text = self.attempt(value)
            return orjson.dumps(self.opened(value, 0)) if text is None else text
        except _RefusedError as refused:
            raise refused.public() from refused.__cause__
        except RecursionError as error:
            # Not by the value alone: the stack was nearly full before.
            raise _RefusedError(value, _TOO_DEEP).public() from error

    def attempt(self, value: Any) -> bytes | None:
        """The value by orjson alone; None where it cannot, or writes a NaN as null."""
        self.made = []

        try:
            text = orjson.dumps(value, self.default, _OPTIONS)
        except orjson.JSONEncodeError:
            raised, self.raised = self.raised, None
        else:
            # Where no null is, no NaN was.
            if b"null" not in text or not self.has_non_finite(value):
                return text

            raised = None

        if raised is not None and not isinstance(raised, _RefusedError):
            raise raised

        for source, container in reversed(self.made):
            noted = self.replays.setdefault(id(source), collections.deque())
            noted.appendleft((source, container))

        return None

    def default(self, value: Any) -> Any:
        """orjson's hook for what it does not take itself."""
        try:
            if (exact := _EXACT.get(type(value))) is not None:
                return exact(value)

            result = self._become(value)
        except BaseException as error:
            self.raised = error
            raise

        if type(result) in _CONTAINERS:
            self.made.append((value, result))

        return result

    def _become(self, value: Any) -> Any:
        if (exact := _EXACT.get(type(value))) is not None:
            return exact(value)

        if self.replays and (noted := self.replays.get(id(value))):
            return noted.popleft()[1]

        return _simpler(value)

    def opened(self, value: Any, depth: int) -> Any:
        """The value in types that orjson takes without a hook.

        Raises _RefusedError with the way to what cannot be written. One Python frame
        per container: there may be 254 in one another.
        """
        simple = self._native(value)
        kind = type(simple)

        if kind not in _CONTAINERS:
            return simple

        if id(value) in self.around:
            raise _RefusedError(value, _CIRCULAR)

        if depth == _MAX_DEPTH:
            raise _RefusedError(value, _TOO_DEEP)

        if 0 < depth <= _MAX_TRIES and (text := self.attempt(simple)) is not None:
            return Encoded(text)

        self.around.add(id(value))
        named = kind is dict
        members: dict[Any, Any] = {}

        for key, item in simple.items() if named else enumerate(simple):
            name = _key(key) if named else key

            try:
                members[name] = self.opened(item, depth + 1)
            except _RefusedError as refused:
                refused.trail.append(name)
                raise

        self.around.discard(id(value))
        return members if named else list(members.values())

    def _native(self, value: Any) -> Any:
        simple = value

        try:
            # Bounded, because a `tolist()` may return something with a `tolist()`.
            for _ in range(_MAX_DEPTH):
                kind = type(simple)

                if (check := _CHECKED.get(kind)) is not None:
                    return check(simple)

                if simple is None or kind in _NATIVE:
                    return simple

                # For these orjson does not ask.
                simple = (
                    simple.value
                    if type(kind) is enum.EnumType
                    else self._become(simple)
                )
        except _RefusedError as refused:
            # What was given, not what it was on the way.
            refused.culprit = value
            raise

        raise _RefusedError(value, _NO_RULE)

    def has_non_finite(self, value: Any) -> bool:
        opaque, containers, finite = _OPAQUE, _CONTAINERS, math.isfinite
        level: list[Any] = [(value,), *(container for _, container in self.made)]

        while level:
            below: list[Any] = []

            for container in level:
                items = container.values() if type(container) is dict else container

                for item in items:
                    kind = type(item)

                    if kind in opaque:
                        continue

                    if kind is float:
                        if not finite(item):
                            return True
                    elif kind in containers:
                        below.append(item)
                    elif type(kind) is enum.EnumType:
                        below.append((item.value,))

            level = below

        return False
