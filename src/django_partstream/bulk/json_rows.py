"""A JSON array as a stream of rows: one element is held at a time."""

from __future__ import annotations

import enum
import json
import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django_partstream.errors import EmptyUploadError, InvalidJSONError

from . import decoding
from .block import Block
from .json_values import DECODER, ConstantError, decode, not_an_object
from .row import MAX_RECORD_BYTES, Dialect, Position, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .decoding import Readable

__all__ = ("json_blocks", "open_json", "read_json")

SPACE = re.compile(r"[ \t\n\r]*")
#: Characters that are decoded at once, if they are short rows.
MAX_DECODED = 256 * 1024
# What stands before the first value, and before every other.
FIRST = SPACE
NEXT = re.compile(r"[ \t\n\r]*,")
# What a number may go on with, behind what already is one.
REST_OF_NUMBER = re.compile(r"[0-9.eE+-]*[ \t\n\r]*")


def open_json(
    head: bytes, stream: Readable, *, encoding: str, offset: int, size: int
) -> tuple[Dialect, Iterator[tuple[Block, Position]]]:
    """The dialect of a stream that begins with `head`, and its rows in blocks.

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

    return dialect, _blocks(text, 0, size)


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

    def fill(self, length: int) -> None:
        """Have so much in the window, if there is so much."""
        while len(self.window) - self.index < length and self.more():
            pass

    def values(self, *, is_first: bool) -> list[Any]:
        """Values that the window has whole, consumed; none where they are for
        `next_character` and `value`."""
        match = (FIRST if is_first else NEXT).match(self.window, self.index)

        if match is None:
            return []

        begin = match.end()
        end = _end_of_values(self.window, begin)
        text = self.window[begin:end]

        # Then no row of it is too long, either.
        if (
            end <= begin
            or decoding.encoded_length(text, self._encoding) > MAX_RECORD_BYTES
        ):
            return []

        try:
            # What is cut in two is not JSON; brackets and quotes tell.
            values: list[Any] = decode(f"[{text}]")
        except (ConstantError, RecursionError, ValueError):
            return []

        self.advance(end)

        return values

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


def json_blocks(
    stream: Readable, dialect: Dialect, position: Position, size: int
) -> Iterator[tuple[Block, Position]]:
    """The same rows in blocks of about `size`."""
    text = _Text(stream, dialect.encoding, offset=position.offset, line=position.line)

    return _blocks(text, position.row, size)


def _blocks(text: _Text, number: int, size: int) -> Iterator[tuple[Block, Position]]:
    """Many values are decoded at once; where that fails, one by one, which says what
    is wrong."""
    values: list[Any] = []
    goal = decoding.BLOCK_BYTES
    one_by_one_until = 0

    while True:
        before = text.offset
        taken: list[Any] = []

        if before >= one_by_one_until:
            text.fill(goal)
            taken = text.values(is_first=not number)

        if taken:
            values += taken
            # As many as are wanted, if they are as long as these.
            goal = (text.offset - before) * size // len(taken) + 1
            goal = min(goal, MAX_DECODED)
        else:
            # What was looked at in vain is in proportion to what is read.
            one_by_one_until = max(one_by_one_until, before + goal)
            value = _next_element(text, number)

            if value is END:
                break

            values.append(value)

        number += len(taken) or 1

        if len(values) >= size:
            yield _block(text, number, values)
            values = []

    if values:
        yield _block(text, number, values)


def _block(text: _Text, number: int, values: list[Any]) -> tuple[Block, Position]:
    return (
        Block(first=number - len(values) + 1, values=values),
        Position(offset=text.offset, row=number, line=text.line),
    )


def _end_of_values(window: str, begin: int) -> int:
    """Where the last value ends that may be whole, as far as this can be guessed."""
    if window[begin : begin + 64].lstrip()[:1] != "{":
        return window.rfind(",", begin)

    end = max(window.rfind("}, {", begin), window.rfind("},{", begin))

    return 1 + (end if end > begin else window.rfind("}", begin))


class _End(enum.Enum):
    END = enum.auto()


END: Final = _End.END


def _elements(text: _Text, number: int) -> Iterator[tuple[Row, Position]]:
    while (value := _next_element(text, number)) is not END:
        number += 1

        yield (
            Row(number=number, line=None, data=value, errors=not_an_object(value)),
            Position(offset=text.offset, row=number, line=text.line),
        )


def _next_element(text: _Text, number: int) -> Any:
    """The one after so many; END after the last, with which the text has ended."""
    character = text.next_character()

    if character == "]":
        text.advance(text.index + 1)

        if text.next_character():
            text.fail("something follows the array", row=number)

        return END

    if number:
        if character != ",":
            text.fail("expected ',' or ']' after it", row=number)

        text.advance(text.index + 1)
        character = text.next_character()

    if not character:
        text.fail("the array does not end", row=number + 1)

    return text.value(number + 1)
