"""Values as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from .rules import plain_default
from .walking import OPTIONS, Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ("encode", "encode_as_drf", "encode_each", "encode_plain", "one_line")


def encode(value: Any) -> bytes:
    """The value as compact UTF-8 JSON on one line, whoever may split the lines.

    Evaluates QuerySets and iterators, each once, so that it belongs off the event
    loop where `value` may hold one. What their code raises comes out as it is.

    Raises:
        UnencodableError: something in `value` has no JSON form (see the module's
            rules). The message says where and of which type, never the value.
    """
    return fitted(one_line(Encoding().run(value)))


def encode_each(values: Iterable[Any]) -> Iterator[bytes]:
    """Each value as by `encode`, except that it is for embedding only: in what is
    encoded later, which makes one line of it.

    Raises what `values` raises, and as `encode` does.
    """
    encoding = Encoding()

    for value in values:
        text = encoding.run(value)

        if encoding.replays:
            encoding = Encoding()

        yield text


def encode_plain(value: Any) -> bytes | None:
    """The value as by `encode`; None where that would call or evaluate something.

    Safe on the event loop, where only the size of `value` matters.
    """
    try:
        text = orjson.dumps(value, plain_default, OPTIONS)
    except (orjson.JSONEncodeError, RecursionError):
        return None

    # It may be a NaN, or it may not.
    if b"null" in text and Encoding().has_non_finite(value):
        return None

    return fitted(one_line(text))


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


def fitted(text: bytes) -> bytes:
    # orjson leaves 4 KiB to whatever is shorter, and it may be kept for hours.
    return b"%b" % text if len(text) < 2048 else text


def one_line(text: bytes) -> bytes:
    # DRF escapes U+2028 and U+2029. They and U+0085 end a line for str.splitlines,
    # with which Python clients cut NDJSON. Inside JSON they can only be in a string,
    # and a bare newline (out of an indented `Encoded`) only between two tokens.
    if not text.isascii():
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028")
        text = text.replace(b"\xe2\x80\xa9", b"\\u2029")
        text = text.replace(b"\xc2\x85", b"\\u0085")

    return text.replace(b"\n", b" ").replace(b"\r", b" ")
