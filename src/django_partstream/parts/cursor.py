"""What is still owed to a client, signed.

PROTOCOL section 4. A cursor says what to go on with; it authorises nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.core import signing
from django.utils.crypto import salted_hmac

from django_partstream.errors import (
    CursorExpiredError,
    CursorInvalidError,
    QueryTooLongError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ("MAX_CURSOR_LENGTH", "MAX_QUERY_LENGTH", "Binding", "Owed", "read", "sign")

SALT = "django_partstream.cursor"
VERSION = 1
MAX_CURSOR_LENGTH = 4096
MAX_QUERY_LENGTH = 1024
#: Characters of names and query. For fewer the time is worth more than the bytes.
COMPRESSED_FROM = 512

#: Stands before a name that is kept as a hash, because the names were too long.
HASHED = "#"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binding:
    """Where and for whom a cursor is good."""

    #: Dotted path of the view class.
    view: str
    #: Primary key of the user, None for anonymous.
    user: Any
    #: The URL's keyword arguments.
    kwargs: Mapping[str, Any]

    @functools.cached_property
    def digest(self) -> str:
        kwargs = sorted((key, str(value)) for key, value in self.kwargs.items())
        text = repr((self.view, None if self.user is None else str(self.user), kwargs))

        # No key in it: the cursor is signed, and outlives a rotation of the key.
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:24]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What a cursor holds: the first request's query string, and the names owed."""

    query: str
    names: tuple[str, ...]

    def of(self, known: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Split into the owed ones that are `known`, in that order, and the others."""
        known = tuple(known)
        owed = set(self.names)
        there = tuple(name for name in known if name in owed or hash_name(name) in owed)
        found = {*there, *map(hash_name, there)}

        return there, tuple(name for name in self.names if name not in found)


def sign(owed: Owed, binding: Binding) -> str | None:
    """The cursor that owes these parts; None when nothing is owed.

    Raises QueryTooLongError for a query string of more than 1 KiB.
    """
    if not owed.names:
        return None

    if len(owed.query) > MAX_QUERY_LENGTH:
        raise QueryTooLongError(
            f"The query string has {len(owed.query)} characters; at most "
            f"{MAX_QUERY_LENGTH} can be carried by a cursor."
        )

    token = _dumps(owed.query, owed.names, binding)

    if len(token) > MAX_CURSOR_LENGTH:
        token = _dumps(owed.query, [hash_name(name) for name in owed.names], binding)

    return token


def read(token: str, binding: Binding, *, ttl: float) -> Owed:
    """What the cursor owes.

    `ttl` in seconds. Raises CursorExpiredError for an old one, CursorInvalidError
    for one that was altered or was made for another user, view or URL: one message
    for all of these, so that it tells nothing.
    """
    if len(token) > MAX_CURSOR_LENGTH:
        raise CursorInvalidError

    age = datetime.timedelta(seconds=ttl)

    try:
        version, digest, query, names = signing.loads(token, salt=SALT, max_age=age)
    except signing.SignatureExpired as error:
        raise CursorExpiredError from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise CursorInvalidError from error

    if version != VERSION or digest != binding.digest:
        raise CursorInvalidError

    return Owed(query=query, names=tuple(names))


def _dumps(query: str, names: Sequence[str], binding: Binding) -> str:
    content = [VERSION, binding.digest, query, list(names)]
    length = len(query) + sum(map(len, names))

    return _signer(settings.SECRET_KEY).sign_object(
        content, serializer=_Serializer, compress=length > COMPRESSED_FROM
    )


class _Serializer(signing.JSONSerializer):
    """Django's, at orjson's speed where that writes the same."""

    def dumps(self, obj: Any) -> bytes:
        try:
            text = orjson.dumps(obj)
        except orjson.JSONEncodeError:
            # Half of a surrogate pair.
            return super().dumps(obj)

        # What is not ASCII is escaped there.
        return text if text.isascii() else super().dumps(obj)


class _Signer(signing.TimestampSigner):
    """Django's, which derives its key for each signature anew."""

    def __init__(self) -> None:
        super().__init__(salt=SALT)
        self._mac = salted_hmac(
            f"{SALT}signer", b"", self.key, algorithm=self.algorithm
        )

    def signature(self, value: str | bytes, key: str | bytes | None = None) -> str:
        if key is not None and key != self.key:
            return super().signature(value, key)

        mac = self._mac.copy()
        mac.update(value.encode() if isinstance(value, str) else value)

        return signing.b64_encode(mac.digest()).decode()


@functools.lru_cache(maxsize=1)
def _signer(_key: object) -> _Signer:
    # Kept as long as the key is: every frame has a cursor of its own.
    return _Signer()


def hash_name(name: str) -> str:
    digest = hashlib.blake2s(name.encode(errors="surrogatepass"), digest_size=6)

    return HASHED + digest.hexdigest()
