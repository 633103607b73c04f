"""Bytes to text in bounded memory, with exact byte offsets."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from django_partstream.errors import UndecodableError, UnsupportedMediaError

from .row import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = (
    "BLOCK_BYTES",
    "WIDE",
    "ByteLines",
    "Decoder",
    "Lines",
    "Prefixed",
    "Readable",
    "RecordTooLongError",
    "discard",
    "encoded_length",
    "encoding_of",
)

BLOCK_BYTES = 64 * 1024

# The longer ones first: UTF-16's is how UTF-32's begins.
BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = frozenset({"utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"})
# Without a byte order mark, what Windows writes.
UNMARKED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
# Text may be spelt in several ways, or bytes mean something else after an escape: no
# byte offset can be told from the text.
UNUSABLE = ("utf-7", "hz", "iso2022", "idna", "punycode", "unicode", "raw", "undefined")


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class RecordTooLongError(Exception):
    """A record is longer than MAX_RECORD_BYTES."""


class Prefixed:
    """A stream with bytes put back in front of it."""

    def __init__(self, prefix: bytes, stream: Readable) -> None:
        self._prefix = prefix
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if not self._prefix:
            return self._stream.read(size)

        taken, self._prefix = self._prefix[:size], self._prefix[size:]

        return taken


def discard(stream: BinaryIO | Readable, size: int) -> None:
    while size and (block := stream.read(min(size, BLOCK_BYTES))):
        size -= len(block)


def encoding_of(head: bytes, charset: str | None) -> tuple[str, int]:
    """The codec of a stream that begins with `head`, and the length of its byte order
    mark, which beats the declared charset. Raises UnsupportedMediaError."""
    for mark, encoding in BOMS:
        if head.startswith(mark):
            return encoding, len(mark)

    if not charset:
        return "utf-8", 0

    return _usable(charset), 0


def _usable(charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
        name = UNMARKED.get(name, name)
        is_usable = name in WIDE or (
            not name.startswith(UNUSABLE) and "\r\n".encode(name) == b"\r\n"
        )
    except (LookupError, ValueError):
        is_usable = False

    if not is_usable:
        raise UnsupportedMediaError(
            f"The charset {charset[:40]!r} is not supported. Send UTF-8.",
            extra={"charset": charset[:40]},
        )

    return name


def encoded_length(text: str, encoding: str) -> int:
    if encoding not in WIDE and text.isascii():
        return len(text)

    return len(text.encode(encoding))


def _undecodable(encoding: str, line: int, byte: int) -> UndecodableError:
    return UndecodableError(
        f"The upload is not {encoding}: line {line}, byte {byte} cannot be decoded. "
        "Save it as UTF-8, or declare its charset in Content-Type.",
        extra={"encoding": encoding, "line": line, "byte": byte},
    )


class Decoder:
    """Blocks of bytes to text, wherever the blocks are cut."""

    def __init__(self, encoding: str, *, offset: int, line: int) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._offset = offset
        self._line = line

    def decode(self, block: bytes) -> str:
        """The text of the next block; an empty one is the last. Raises
        UndecodableError."""
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            held = len(error.object) - len(block)
            before = error.object[: error.start].decode(self._encoding)
            raise _undecodable(
                self._encoding,
                self._line + before.count("\n") + 1,
                self._offset - held + error.start,
            ) from error

        self._offset += len(block)
        self._line += text.count("\n")

        return text


class ByteLines:
    r"""The physical lines of a stream in bytes, each with its end: `\n`, `\r` or
    `\r\n`; one by one, or many at once."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._next = 0
        #: The line that goes on in the next block.
        self._pending = b""

    def __iter__(self) -> Iterator[bytes]:
        """Raises RecordTooLongError in place of a line that is longer than a record."""
        while self._next < len(self._lines) or self._fill():
            self._next += 1
            yield self._lines[self._next - 1]

        if self._pending:
            raise RecordTooLongError

    def take(self, count: int, size: int) -> list[bytes]:
        """So many lines, or fewer: those of about `size` bytes; none at the end, and
        before a line that is longer than a record."""
        lines: list[bytes] = []

        while len(lines) < count and size > 0:
            if self._next == len(self._lines) and not self._fill():
                break

            some = self._lines[self._next : self._next + count - len(lines)]
            self._next += len(some)
            size -= sum(map(len, some))
            lines += some

        return lines

    def put_back(self, lines: Sequence[bytes]) -> None:
        """The last of those that were taken."""
        self._lines[: self._next] = lines
        self._next = 0

    def _fill(self) -> bool:
        """Read on; whether there are more lines."""
        self._lines.clear()
        self._next = 0

        while not self._lines and len(self._pending) <= MAX_RECORD_BYTES:
            block = self._stream.read(BLOCK_BYTES)
            self._lines = (self._pending + block).splitlines(keepends=True)
            self._pending = b""

            if not block:
                break

            # A line goes on in the next block unless it ended with \n: after a \r the
            # \n of the same end may follow.
            if not self._lines[-1].endswith(b"\n"):
                self._pending = self._lines.pop()

        return bool(self._lines)


class Lines:
    r"""The physical lines of a stream, each with its end: `\n`, `\r` or `\r\n`.

    One is read at a time, so that `offset` and `number` say what has been consumed.
    Raises UndecodableError, and RecordTooLongError when more than MAX_RECORD_BYTES were
    consumed since `mark()`.
    """

    def __init__(
        self,
        stream: Readable | ByteLines,
        encoding: str,
        *,
        offset: int,
        number: int,
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        #: Bytes and lines consumed.
        self.offset = offset
        self.number = number
        #: The lines since the last mark.
        self.pulled: list[str] = []
        self._marked = offset

    def mark(self) -> None:
        """A record begins here."""
        self._marked = self.offset
        self.pulled.clear()

    @property
    def since_mark(self) -> int:
        return self.offset - self._marked

    def __iter__(self) -> Iterator[str]:
        wide = self._encoding in WIDE

        for text, size in self._wide() if wide else self._narrow():
            self.offset += size
            self.number += 1
            self.pulled.append(text)

            if self.offset - self._marked > MAX_RECORD_BYTES:
                raise RecordTooLongError

            yield text

    def _narrow(self) -> Iterator[tuple[str, int]]:
        """Encodings in which the bytes of a line end are nothing else."""
        stream = self._stream
        lines = stream if isinstance(stream, ByteLines) else ByteLines(stream)

        for line in lines:
            try:
                text = line.decode(self._encoding)
            except UnicodeDecodeError as error:
                raise _undecodable(
                    self._encoding, self.number + 1, self.offset + error.start
                ) from error

            yield text, len(line)

    def _wide(self) -> Iterator[tuple[str, int]]:
        stream = self._stream
        assert not isinstance(stream, ByteLines)  # a line's end is several bytes
        decoder = Decoder(self._encoding, offset=self.offset, line=self.number)
        pending = ""
        block = b"more"

        while block:
            block = stream.read(BLOCK_BYTES)
            text = pending + decoder.decode(block)
            lines = io.StringIO(text, newline="").readlines()
            keep = block and lines and not lines[-1].endswith("\n")
            pending = lines.pop() if keep else ""

            for line in lines:
                yield line, len(line.encode(self._encoding))

            if len(pending) > MAX_RECORD_BYTES:
                raise RecordTooLongError
