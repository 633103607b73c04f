"""Compressed uploads, inflated as they are read: RFC 9110 section 8.4.1."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from django_partstream.errors import (
    TooLargeError,
    UndecodableError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from .decoding import Readable

__all__ = ("CODINGS", "Inflated", "as_file", "inflated")

CODINGS = ("gzip", "deflate")

READ_BYTES = 64 * 1024
#: More than one after another is how bombs are made.
MAX_CODINGS = 1

GZIP = 16 + zlib.MAX_WBITS
#: RFC 9110 means the zlib format by `deflate`; some clients send it bare.
ZLIB, BARE = zlib.MAX_WBITS, -zlib.MAX_WBITS


def inflated(stream: Readable, coding: str | None, *, limit: int) -> Readable:
    """The stream itself, or what its `Content-Encoding` stands for.

    Raises UnsupportedMediaError for a coding that is not supported.
    """
    names = [name for part in (coding or "").split(",") if (name := part.strip())]
    codings = [name.lower() for name in names if name.lower() != "identity"]

    if not codings:
        return stream

    codings = [name.removeprefix("x-") for name in codings]

    if len(codings) > MAX_CODINGS or codings[0] not in CODINGS:
        raise UnsupportedMediaError(
            f"The content encoding {', '.join(names)[:80]!r} is not supported. "
            f"Supported: {', '.join(CODINGS)}, one of them.",
            extra={"supported": list(CODINGS)},
        )

    return Inflated(stream, codings[0], limit=limit)


class Inflated:
    """A compressed stream that is read as what it holds, a block at a time.

    `read` raises UndecodableError where it is broken or cut, TooLargeError when it
    holds more than `limit` bytes: no more than a block beyond that is ever inflated.
    """

    def __init__(self, stream: Readable, coding: str, *, limit: int) -> None:
        self._stream = stream
        self._coding = coding
        self._limit = limit
        self._inflater = zlib.decompressobj(GZIP if coding == "gzip" else ZLIB)
        self._input = b""
        self._begun = self._ended = False
        self._size = 0

    def read(self, size: int = READ_BYTES, /) -> bytes:
        """At most `size` bytes; none at the end."""
        while not self._ended:
            data = self._inflate(size)

            if data:
                self._size += len(data)
                self._check_size()

                return data

        return b""

    def _inflate(self, size: int) -> bytes:
        if not self._input and not self._inflater.unconsumed_tail:
            self._input = self._stream.read(READ_BYTES)

            if not self._input:
                return self._end()

        compressed = self._inflater.unconsumed_tail + self._input
        self._input = b""

        if not self._begun:
            self._begin(compressed)

        try:
            data = self._inflater.decompress(compressed, size)
        except zlib.error as error:
            raise self._broken("is broken") from error

        if self._inflater.eof:
            self._next_member(self._inflater.unused_data)

        return data

    def _begin(self, first: bytes) -> None:
        self._begun = True

        if self._coding == "deflate" and not _has_zlib_header(first):
            self._inflater = zlib.decompressobj(BARE)

    def _next_member(self, rest: bytes) -> None:
        """A gzip file may be several, one after another (RFC 1952 section 2.2)."""
        self._input = rest or self._stream.read(READ_BYTES)

        if not self._input:
            self._ended = True
        elif self._coding == "gzip":
            self._inflater = zlib.decompressobj(GZIP)
        else:
            raise self._broken("goes on behind its end")

    def _end(self) -> bytes:
        if self._begun and not self._inflater.eof:
            raise self._broken("ends too early")

        self._ended = True

        return b""

    def _check_size(self) -> None:
        if self._size > self._limit:
            raise TooLargeError(
                f"The upload holds more than the {self._limit} bytes allowed once it "
                "is decompressed. Split it."
            )

    def _broken(self, what: str) -> UndecodableError:
        return UndecodableError(
            f"The upload is declared as {self._coding}, but its compressed data "
            f"{what}. Compress it again, or leave out Content-Encoding."
        )


class _Raw(io.RawIOBase):
    """A readable as the raw stream that Python's own buffering wants."""

    def __init__(self, stream: Readable, source: BinaryIO) -> None:
        self._stream = stream
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data

        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()


def as_file(stream: Readable, source: BinaryIO) -> BinaryIO:
    """The stream with all that a file for reading has; closing it closes `source`."""
    return io.BufferedReader(_Raw(stream, source), READ_BYTES)


def _has_zlib_header(data: bytes) -> bool:
    # RFC 1950 section 2.2: method 8, and a check that 31 divides. Of one byte alone
    # the method must do.
    if len(data) < 2:
        return data[:1] == b"\x78"

    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
