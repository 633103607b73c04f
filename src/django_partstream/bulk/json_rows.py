"""A JSON array as a stream of rows: one element is held at a time."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from django_partstream.errors import EmptyUploadError, InvalidJSONError

from . import decoding
from .json_values import DECODER, ConstantError, not_an_object
from .row import MAX_RECORD_BYTES, Dialect, Position, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .decoding import Readable

__all__ = ("open_json", "read_json")

SPACE = re.compile(r"[ \t\n\r]*")
# What a number may go on with, behind what already is one.
REST_OF_NUMBER = re.compile(r"[0-9.eE+-]*[ \t\n\r]*")


def open_json(
    head: bytes, stream: Readable, *, encoding: str, offset: int
) -> tuple[Dialect, Iterator[tuple[Row, Position]]]:
    """The dialect of a stream that begins with `head`, and its rows.

    Raises EmptyUploadError and InvalidJSONError.
    """
    text = _Text(decoding.Prefixed(head, stream), encoding, offset=offset, line=0)
    first = text.next_character()

    if not first:
        raise EmptyUploadError

    if first != "[":
        text.fail(f"it must be an array of objects, but begins with {first!r}", row=1)

    text.advance(text.index + 1)
    dialect = Dialect(
        format="json", encoding=encoding, start=text.offset, line=text.line
    )

    return dialect, _elements(text, 0)


def read_json(
    stream: Readable, dialect: Dialect, position: Position
) -> Iterator[tuple[Row, Position]]:
    """The rows after `position`, where the stream stands."""
    text = _Text(stream, dialect.encoding, offset=position.offset, line=position.line)

    return _elements(text, position.row)


class _Text:
    """A window of decoded text; what lies before `index` has been consumed."""

    def __init__(
        self, stream: Readable, encoding: str, *, offset: int, line: int
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        self._decoder = decoding.Decoder(encoding, offset=offset, line=line)
        self._ended = False
        self.window = ""
        self.index = 0
        #: Bytes and line ends consumed.
        self.offset = offset
        self.line = line

    def more(self) -> bool:
        """Whether the window has grown; at the end of the stream it cannot."""
        if self._ended:
            return False

        block = self._stream.read(decoding.BLOCK_BYTES)
        self._ended = not block
        self.window = self.window[self.index :] + self._decoder.decode(block)
        self.index = 0

        return True

    def advance(self, end: int) -> None:
        consumed = self.window[self.index : end]
        self.offset += decoding.encoded_length(consumed, self._encoding)
        self.line += consumed.count("\n")
        self.index = end

    def next_character(self) -> str:
        """The next one that is not white space, not consumed; "" at the end."""
        while True:
            match = SPACE.match(self.window, self.index)
            self.advance(match.end() if match else self.index)

            if self.index < len(self.window):
                return self.window[self.index]

            if not self.more():
                return ""

    def value(self, row: int) -> Any:
        """The next value, consumed. Raises InvalidJSONError."""
        while True:
            failure: Exception | None = None
            value, end = None, self.index

            try:
                value, end = DECODER.raw_decode(self.window, self.index)
            except json.JSONDecodeError as error:
                failure = error
            except RecursionError:
                self.fail("it is nested too deeply", row=row)
            except ConstantError as error:
                self.fail(f"{error} is not JSON", row=row)
            except ValueError:
                self.fail("it has a number of too many digits", row=row)

            # A value has ended where something else follows: the window may have cut
            # a number in two.
            if failure is None and self._has_ended(end):
                return self._taken(value, end, row)

            if len(self.window) - self.index > MAX_RECORD_BYTES:
                self._too_long(row)

            if self.more():
                continue

            if isinstance(failure, json.JSONDecodeError):
                self.advance(failure.pos)
                self.fail(f"{failure.msg[0].lower()}{failure.msg[1:]}", row=row)

            return self._taken(value, end, row)

    def _has_ended(self, end: int) -> bool:
        match = REST_OF_NUMBER.match(self.window, end)

        return match is not None and match.end() < len(self.window)

    def _taken(self, value: Any, end: int, row: int) -> Any:
        before = self.offset
        self.advance(end)

        if self.offset - before > MAX_RECORD_BYTES:
            self._too_long(row)

        return value

    def _too_long(self, row: int) -> NoReturn:
        self.fail(f"the row is longer than {MAX_RECORD_BYTES} bytes", row=row)

    def fail(self, what: str, *, row: int) -> NoReturn:
        line = self.line + 1
        raise InvalidJSONError(
            f"The JSON is not valid in row {row}, line {line}, byte {self.offset}: "
            f"{what}.",
            extra={"row": row, "line": line, "byte": self.offset},
        )


def _elements(text: _Text, number: int) -> Iterator[tuple[Row, Position]]:
    while (character := text.next_character()) != "]":
        if number:
            if character != ",":
                text.fail("expected ',' or ']' after it", row=number)

            text.advance(text.index + 1)
            character = text.next_character()

        if not character:
            text.fail("the array does not end", row=number + 1)

        value = text.value(number + 1)
        number += 1

        yield (
            Row(number=number, line=None, data=value, errors=not_an_object(value)),
            Position(offset=text.offset, row=number, line=text.line),
        )

    text.advance(text.index + 1)

    if text.next_character():
        text.fail("something follows the array", row=number)
