"""NDJSON uploads: one object a line, and one bad line is one bad row."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk.outcome import RowError
from django_partstream.bulk.rows import MAX_RECORD_BYTES, Dialect, Row, inspect, read
from django_partstream.errors import EmptyUploadError, InvalidJSONError

TYPE = "application/x-ndjson"


def look(data: bytes, charset: str | None = None) -> Any:
    return inspect(
        io.BytesIO(data),
        content_type=TYPE,
        charset=charset,
        known=(),
        required=(),
        max_rows=1000,
    )


def read_all(data: bytes, charset: str | None = None) -> list[Row]:
    """The rows; and again from every position, which must give the same."""
    dialect = look(data, charset).dialect
    pairs = list(read(io.BytesIO(data), dialect))
    rows = [row for row, _ in pairs]

    for index, (_, position) in enumerate(pairs):
        stream = io.BytesIO(data)
        stream.seek(position.offset)
        assert [row for row, _ in read(stream, dialect, position)] == rows[index + 1 :]

    return rows


def test_each_line_is_a_row_and_blank_ones_are_none() -> None:
    rows = read_all(b'{"a": 1}\n\n  \r\n{"a": "\xc3\xa9"}\r\n{"a": null}')

    assert [(row.number, row.line, row.data) for row in rows] == [
        (1, 1, {"a": 1}),
        (2, 4, {"a": "é"}),
        (3, 5, {"a": None}),
    ]
    assert look(b'{"a": 1}\n{}').rows == 2


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    text = '{"a": "größe"}\n{"a": 2}\n'

    for encoding, mark in [("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe")]:
        rows = read_all(mark + text.encode(encoding))

        assert [row.data for row in rows] == [{"a": "größe"}, {"a": 2}]


def test_a_bad_line_is_the_error_of_its_row_alone() -> None:
    good, bad, number, nan, last = read_all(
        b'{"a": 1}\n{"a": 1,}\n7\n{"a": NaN}\n{"a": 2}\n'
    )

    assert (good.errors, last.errors) == ((), ())
    assert last.data == {"a": 2}
    assert bad.data == '{"a": 1,}'
    assert bad.errors[0].code == "parse_error"
    assert bad.errors[0].detail.startswith("JSON parse error - ")
    assert number.errors == (
        RowError("", "invalid", "Invalid data. Expected a dictionary, but got int."),
    )
    assert nan.errors == (
        RowError("", "parse_error", "JSON parse error - NaN is not JSON"),
    )


def test_deep_nesting_and_endless_numbers_are_errors_of_their_rows() -> None:
    deep = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    long = b'{"a": ' + b"9" * 5_000 + b"}"

    _, one, two = read_all(b"{}\n" + deep + b"\n" + long + b"\n")

    assert [error.code for error in one.errors + two.errors] == ["parse_error"] * 2


@pytest.mark.parametrize(
    "data", [b"[\n  {}\n]", b"a,b\n1,2\n", b"\x89PNG", b'{"a":\n1}\n']
)
def test_an_upload_that_begins_with_something_else_is_refused(data: bytes) -> None:
    charset = "latin-1" if data.startswith(b"\x89") else None

    with pytest.raises(InvalidJSONError) as caught:
        look(data, charset)

    assert caught.value.detail.startswith(
        "The upload is no NDJSON: line 1 is not a JSON object (JSON parse error - "
    )
    assert caught.value.extra == {"row": 1, "line": 1}


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_upload_is_refused(data: bytes) -> None:
    with pytest.raises(EmptyUploadError):
        look(data)


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    data = b'{}\n{"a": "' + b"x" * (8 * MAX_RECORD_BYTES)
    tracemalloc.start()

    with pytest.raises(InvalidJSONError) as caught:
        look(data)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.detail == (
        "Row 2, line 2, is longer than 1048576 bytes. Is it one object a line?"
    )
    assert peak < 6 * MAX_RECORD_BYTES


def test_the_dialect_survives_json() -> None:
    dialect = look(b"{}\n").dialect

    assert Dialect.from_dict(json.loads(json.dumps(dialect.as_dict()))) == dialect


@given(
    values=st.lists(
        st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none()),
        min_size=1,
        max_size=8,
    ),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_rows_are_what_was_written(values: list[Any], end: str) -> None:
    data = end.join(json.dumps(value) for value in values).encode()

    assert [row.data for row in read_all(data)] == values
