"""A value on its way through orjson, and around what orjson cannot write."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import math
import uuid
from typing import Any, Final

import orjson

from .refusing import CIRCULAR, MAX_DEPTH, NO_RULE, TOO_DEEP, RefusedError
from .rules import CHECKED, EXACT, Encoded, key_text, simpler

__all__ = ("OPTIONS", "Encoding")

# Subclasses, because orjson reads a QueryDict past its `items()`. Datetimes, because
# orjson rounds the seconds of an offset away and mistakes unusual tzinfo classes.
OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)

# How deep opened containers are still tried: each try may go over all that is below.
_MAX_TRIES: Final = 8

CONTAINERS: Final = frozenset((dict, list, tuple))
NATIVE: Final = CONTAINERS | {bool}
# Types that cannot hide a float from `has_non_finite`, to be quick there.
OPAQUE: Final = frozenset(
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


class Encoding:
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
        except RefusedError as refused:
            raise refused.public() from refused.__cause__
        except RecursionError as error:
            # Not by the value alone: the stack was nearly full before.
            raise RefusedError(value, TOO_DEEP).public() from error

    def attempt(self, value: Any) -> bytes | None:
        """The value by orjson alone; None where it cannot, or writes a NaN as null."""
        self.made = []

        try:
            text = orjson.dumps(value, self.default, OPTIONS)
        except orjson.JSONEncodeError:
            raised, self.raised = self.raised, None
        else:
            # Where no null is, no NaN was.
            if b"null" not in text or not self.has_non_finite(value):
                return text

            raised = None

        if raised is not None and not isinstance(raised, RefusedError):
            raise raised

        for source, container in reversed(self.made):
            noted = self.replays.setdefault(id(source), collections.deque())
            noted.appendleft((source, container))

        return None

    def default(self, value: Any) -> Any:
        """orjson's hook for what it does not take itself."""
        try:
            if (exact := EXACT.get(type(value))) is not None:
                return exact(value)

            result = self._become(value)
        except BaseException as error:
            self.raised = error
            raise

        if type(result) in CONTAINERS:
            self.made.append((value, result))

        return result

    def _become(self, value: Any) -> Any:
        if (exact := EXACT.get(type(value))) is not None:
            return exact(value)

        if self.replays and (noted := self.replays.get(id(value))):
            return noted.popleft()[1]

        return simpler(value)

    def opened(self, value: Any, depth: int) -> Any:
        """The value in types that orjson takes without a hook.

        Raises RefusedError with the way to what cannot be written. One Python frame
        per container: there may be 254 in one another.
        """
        simple = self._native(value)
        kind = type(simple)

        if kind not in CONTAINERS:
            return simple

        if id(value) in self.around:
            raise RefusedError(value, CIRCULAR)

        if depth == MAX_DEPTH:
            raise RefusedError(value, TOO_DEEP)

        if 0 < depth <= _MAX_TRIES and (text := self.attempt(simple)) is not None:
            return Encoded(text)

        self.around.add(id(value))
        named = kind is dict
        members: dict[Any, Any] = {}

        for key, item in simple.items() if named else enumerate(simple):
            name = key_text(key) if named else key

            try:
                members[name] = self.opened(item, depth + 1)
            except RefusedError as refused:
                refused.trail.append(name)
                raise

        self.around.discard(id(value))
        return members if named else list(members.values())

    def _native(self, value: Any) -> Any:
        simple = value

        try:
            # Bounded, because a `tolist()` may return something with a `tolist()`.
            for _ in range(MAX_DEPTH):
                kind = type(simple)

                if (check := CHECKED.get(kind)) is not None:
                    return check(simple)

                if simple is None or kind in NATIVE:
                    return simple

                # For these orjson does not ask.
                simple = (
                    simple.value
                    if type(kind) is enum.EnumType
                    else self._become(simple)
                )
        except RefusedError as refused:
            # What was given, not what it was on the way.
            refused.culprit = value
            raise

        raise RefusedError(value, NO_RULE)

    def has_non_finite(self, value: Any) -> bool:
        opaque, containers, finite = OPAQUE, CONTAINERS, math.isfinite
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
