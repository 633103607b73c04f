"""What is said of many lines at once is what is said of each."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_partstream.bulk import rows
from django_partstream.bulk.columnar import Columnar
from django_partstream.bulk.ndjson_blocks import NDJSONReader
from django_partstream.bulk.row import Position, Row

LINES = st.sampled_from(
    [
        *['{"a": 1, "b": "x"}', '{"a": 2, "b": ""}', '{"a": null, "b": ["y"]}'],
        *["", "  ", '{"b": "x", "a": 1}', '{"a": 1}', "{}", '{"a": 1, "a": 2}'],
        *['{"row": 7, "line": 9, "data": {"a": 3, "b": "z"}, "errors": []}'],
        *["7", "[]", "null", '"text"', '{"a": 1}, {"a": 2}', '{"a": [1', "2]}"],
        *['{"a": NaN}', '{"a": 1e999}', '{"a": 12345678901234567890123}'],
        *['{"a": "\\ud800"}', '{"a": "größe"}', "\ufeff{}", '{"a": "\x0b"}'],
    ]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def one_by_one(data: bytes, position: Position) -> list[tuple[Row, Position]]:
    stream = io.BytesIO(data)
    stream.seek(position.offset)

    return [*rows.read(stream, dialect(), position)]


def together(data: bytes, position: Position, size: int) -> list[tuple[Row, Position]]:
    stream = io.BytesIO(data)
    stream.seek(position.offset)
    reader = rows.reader(stream, dialect(), position)
    assert isinstance(reader, NDJSONReader)
    found = []

    while (stretch := reader.take(size)) is not None:
        found += [(stretch.block[i], stretch.end(i)) for i in range(len(stretch))]

    return found


def dialect() -> rows.Dialect:
    return rows.Dialect(format="ndjson", encoding="utf-8", start=0)


@given(
    lines=st.lists(st.tuples(LINES, ENDS), max_size=12),
    size=st.integers(1, 5),
    is_ended=st.booleans(),
)
@example(lines=[('{"a": 1}', "\n"), ("", "\n")] * 3, size=2, is_ended=False)
def test_rows_and_positions_are_those_of_each_line(
    lines: list[tuple[str, str]], size: int, is_ended: bool
) -> None:
    text = "".join(itertools.chain.from_iterable(lines))
    data = (text if is_ended else text.rstrip("\r\n")).encode()
    each = one_by_one(data, Position())

    assert together(data, Position(), size) == each

    for index, (_, position) in enumerate(each):
        assert together(data, position, size) == each[index + 1 :]


def test_lines_with_the_same_members_are_kept_by_columns() -> None:
    data = b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}\n{"b": 1, "a": 2}\n'
    reader = rows.reader(io.BytesIO(data), dialect())

    alike, other = reader.take(2), reader.take(2)

    assert alike is not None
    assert other is not None
    assert isinstance(alike.block.values, Columnar)
    assert alike.block.values.columns == {"a": [1, 2], "b": ["x", "y"]}
    assert [*other.block.values] == [{"b": 1, "a": 2}]


@pytest.mark.parametrize("count", [1, 30])
def test_no_more_is_read_than_was_said(count: int) -> None:
    line = b'{"a": "' + b"x" * 1_000_000 + b'"}\n'
    stream = io.BytesIO(b"\n" * 300_000 + line * 6 + b"no JSON\n" + line * 6)
    reader = rows.reader(stream, dialect())
    assert reader.most_bytes is not None
    before, found = 0, 0

    while (stretch := reader.take(count)) is not None:
        found += len(stretch)
        assert stream.tell() - before <= reader.most_bytes
        before = stream.tell()

    assert found == 13
