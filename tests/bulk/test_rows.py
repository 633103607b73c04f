from __future__ import annotations

import io
import json
import tracemalloc
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk.outcome import RowError
from django_partstream.bulk.rows import (
    MAX_CELL_LENGTH,
    MAX_RECORD_BYTES,
    Dialect,
    Position,
    inspect,
    read,
)
from django_partstream.errors import (
    ColumnsError,
    EmptyUploadError,
    InvalidJSONError,
    NotCSVError,
    TooManyRowsError,
    UndecodableError,
    UnsupportedMediaError,
)

KNOWN = ("a", "b", "c")


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, and can do nothing but read."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        end = self._at + min(size, self._size)
        taken, self._at = self._data[self._at : end], end

        return taken


def trickle(data: bytes, size: int) -> BinaryIO:
    return cast("BinaryIO", Trickle(data, size))


def look(data, *, content_type="text/csv", charset=None, required=(), max_rows=1000):
    stream = io.BytesIO(data) if isinstance(data, bytes) else data

    return inspect(
        stream,
        content_type=content_type,
        charset=charset,
        known=KNOWN,
        required=required,
        max_rows=max_rows,
    )


def read_all(data, *, content_type="text/csv", charset=None):
    """The rows; and again from every position, which must give the same."""
    dialect = look(data, content_type=content_type, charset=charset).dialect
    pairs = list(read(io.BytesIO(data), dialect))
    rows = [row for row, _ in pairs]

    for index, (_, position) in enumerate(pairs):
        stream = io.BytesIO(data)
        stream.seek(position.offset)
        resumed = [row for row, _ in read(stream, dialect, position)]
        assert resumed == rows[index + 1 :]

    return rows


def read_json(text):
    return read_all(text.encode(), content_type="application/json")


def test_csv_rows_are_dicts_of_strings():
    rows = read_all(b"a,b\n1,x\n2,\n")

    assert [row.data for row in rows] == [{"a": "1", "b": "x"}, {"a": "2", "b": ""}]
    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 3)]


def test_first_position_is_the_start_of_the_stream():
    dialect = look(b"a,b\n1,x\n").dialect

    rows = list(read(io.BytesIO(b"a,b\n1,x\n"), dialect, Position()))

    assert [row.data for row, _ in rows] == [{"a": "1", "b": "x"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_the_one_under_which_names_are_known(delimiter):
    inspection = look("a,b,c\n1,2,3\n".replace(",", delimiter).encode())

    assert inspection.dialect.delimiter == delimiter
    assert inspection.dialect.columns == ("a", "b", "c")
    assert inspection.rows == 1


@pytest.mark.parametrize(
    ("encoding", "mark", "charset", "name"),
    [
        ("utf-8", b"", None, "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", None, "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", "latin-1", "utf-8"),
        ("utf-16-le", b"\xff\xfe", None, "utf-16-le"),
        ("utf-16-be", b"\xfe\xff", None, "utf-16-be"),
        ("utf-32-le", b"\xff\xfe\0\0", None, "utf-32-le"),
        ("utf-16-le", b"", "utf-16", "utf-16-le"),
        ("latin-1", b"", "ISO-8859-1", "iso8859-1"),
        ("cp1252", b"", "windows-1252", "cp1252"),
    ],
)
def test_encoding_is_found_by_its_mark_or_declared(encoding, mark, charset, name):
    text = 'a,b\r\ngröße,2\r\n\r\n"x\r\ny",é\r\n'
    data = mark + text.encode(encoding)

    rows = read_all(data, charset=charset)

    assert look(data, charset=charset).dialect.encoding == name
    assert [row.data["a"] for row in rows] == ["größe", "x\r\ny"]
    assert [row.line for row in rows] == [2, 4]


def test_multi_byte_encoding_keeps_its_offsets():
    data = "a,b\n日本,1\n語,2\n".encode("shift_jis")

    rows = read_all(data, charset="shift_jis")

    assert [row.data["a"] for row in rows] == ["日本", "語"]


@pytest.mark.parametrize("charset", ["utf-7", "klingon", "hz", "cp037", "rot13"])
def test_charset_without_byte_offsets_is_refused(charset):
    with pytest.raises(UnsupportedMediaError) as caught:
        look(b"a\n1\n", charset=charset)

    assert caught.value.detail == (
        f"The charset {charset!r} is not supported. Send UTF-8."
    )


def test_wrong_encoding_names_line_and_byte():
    with pytest.raises(UndecodableError) as caught:
        look("a,b\n1,2\nä,3\n".encode("latin-1"))

    assert caught.value.extra == {"encoding": "utf-8", "line": 3, "byte": 8}
    assert caught.value.detail == (
        "The upload is not utf-8: line 3, byte 8 cannot be decoded. Save it as UTF-8, "
        "or declare its charset in Content-Type."
    )


def test_wrong_encoding_is_found_on_the_last_line():
    data = b"a,b\n" + b"1,2\n" * 50_000 + b"\xff,1\n"

    with pytest.raises(UndecodableError) as caught:
        look(data, max_rows=100_000)

    assert caught.value.extra["line"] == 50_002
    assert caught.value.extra["byte"] == 4 + 4 * 50_000


def test_lone_surrogate_in_utf_16_is_not_decoded():
    data = b"\xff\xfe" + "a\nx".encode("utf-16-le") + b"\x00\xd8" + b"y\0"

    with pytest.raises(UndecodableError) as caught:
        look(data)

    assert caught.value.extra == {"encoding": "utf-16-le", "line": 2, "byte": 8}


def test_lines_end_at_line_ends_only():
    rows = read_all("a,b\n1\x0b2,x\x85y\n3\u2028,\x1c\n".encode())

    assert [row.data for row in rows] == [
        {"a": "1\x0b2", "b": "x\x85y"},
        {"a": "3\u2028", "b": "\x1c"},
    ]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_serves(end):
    data = end.join(["a,b", "1,2", '"3', '4",5', "6,7"]).encode()

    rows = read_all(data)

    assert [row.data["a"] for row in rows] == ["1", f"3{end}4", "6"]
    assert [row.line for row in rows] == [2, 3, 5]


def test_quoted_newlines_count_as_lines_but_not_as_rows():
    rows = read_all(b'a,b\n"1\n2",x\n\n3,y\n')

    assert [(row.number, row.line) for row in rows] == [(1, 2), (2, 5)]


def test_blank_lines_are_skipped():
    rows = read_all(b"\n\na,b\n\n1,2\n   \n\n3,4\n\n")

    assert [(row.number, row.line) for row in rows] == [(1, 5), (2, 8)]


def test_ragged_rows_are_errors_of_their_own():
    rows = read_all(b"a,b\n1\n1,2,3\n1,2\n")

    assert [row.errors for row in rows] == [
        (RowError("", "ragged_row", "Expected 2 cells, found 1."),),
        (RowError("", "ragged_row", "Expected 2 cells, found 3."),),
        (),
    ]
    assert rows[0].data == {"a": "1"}


def test_stray_quote_is_that_row_s_error():
    rows = read_all(b'a,b\n"1"x,2\n3,4\n')

    assert rows[0].errors == (
        RowError("", "malformed_row", "Malformed CSV: ',' expected after '\"'."),
    )
    assert rows[0].data == {"a": "1x", "b": "2"}
    assert rows[1].errors == ()


def test_open_quote_at_the_end_is_not_csv():
    with pytest.raises(NotCSVError) as caught:
        look(b'a,b\n1,2\n"3,4\n5,6\n')

    assert caught.value.detail == (
        "A quote is not closed in row 2, which begins on line 3."
    )
    assert caught.value.extra == {"row": 2, "line": 3}


def test_open_quote_in_a_long_file_is_found_early():
    data = b'a,b\n"1,2\n' + b"1,2\n" * (MAX_RECORD_BYTES // 3)

    with pytest.raises(NotCSVError) as caught:
        look(data, max_rows=10_000_000)

    assert caught.value.detail == (
        "The record is longer than 1048576 bytes in row 1, which begins on line 2."
    )


def test_line_without_end_is_not_held_in_memory():
    class Endless(io.RawIOBase):
        def __init__(self):
            self.served = 0

        def read(self, size=-1):
            self.served += size

            return b"a,b\n1,2\n" + b"x" * size if self.served == size else b"x" * size

    stream = Endless()

    with pytest.raises(NotCSVError):
        look(stream)

    assert stream.served < 2 * MAX_RECORD_BYTES


def test_null_bytes_and_long_cells_are_errors_of_their_cells():
    long = b"x" * (MAX_CELL_LENGTH + 1)
    rows = read_all(b"a,b\n" + b"1,2\n" * 500 + b"x\0y,2\n" + long + b",2\n")

    assert rows[500].errors == (
        RowError(
            "/a", "null_characters_not_allowed", "Null characters are not allowed."
        ),
    )
    assert rows[501].errors == (
        RowError(
            "/a", "max_length", "Ensure this cell has no more than 131072 characters."
        ),
    )


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            "The upload is not CSV: it is binary, or UTF-16 without a byte order mark.",
        ),
        (
            "a,b\n1,2\n".encode("utf-16-le"),
            "The upload is not CSV: it is binary, or UTF-16 without a byte order mark.",
        ),
        (b' [{"a": 1}]', "The upload is not CSV: it begins like JSON."),
        (b'{"a": 1}', "The upload is not CSV: it begins like JSON."),
        (b"<!DOCTYPE html>", "The upload is not CSV: it begins like HTML or XML."),
        (b"%PDF-1.7", "The upload is not CSV: it begins like a PDF."),
        (b'a,"b\n', "The upload is not CSV: its first line has a stray quote."),
    ],
)
def test_what_is_not_csv_is_said_to_be_what_it_is(data, detail):
    with pytest.raises(NotCSVError) as caught:
        look(data)

    assert caught.value.detail == detail


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\r\n  \n"])
@pytest.mark.parametrize("content_type", ["text/csv", "application/json"])
def test_nothing_is_an_empty_upload(data, content_type):
    with pytest.raises(EmptyUploadError) as caught:
        look(data, content_type=content_type)

    assert caught.value.detail == (
        "The upload is empty. Send CSV with a header line, or a JSON array."
    )


def test_header_alone_has_no_rows():
    assert look(b"a,b\n").rows == 0


def test_columns_are_named_when_they_do_not_fit():
    with pytest.raises(ColumnsError) as caught:
        look(b"a,x,a,y\n1,2,3,4\n", required=["a", "b"])

    assert caught.value.detail == (
        "Unknown columns: 'x', 'y'. Missing columns: 'b'. Doubled columns: 'a'. "
        "Known columns: 'a', 'b', 'c'. The first line must name the columns."
    )
    assert caught.value.extra == {
        "unknown": ["x", "y"],
        "missing": ["b"],
        "doubled": ["a"],
        "known": ["a", "b", "c"],
    }


def test_columns_are_not_listed_without_end():
    header = ",".join(f"{'x' * 200}{n}" for n in range(1000))

    with pytest.raises(ColumnsError) as caught:
        look(header.encode())

    assert len(caught.value.extra["unknown"]) == 50
    assert "and 950 more" in caught.value.detail
    assert len(caught.value.detail) < 6000


def test_our_own_columns_are_ignored():
    rows = read_all(b"a,_row,_outcome,_pk,_errors\n1,7,failed,,x\n")

    assert rows[0].data == {"a": "1"}


def test_names_may_have_space_around_them():
    assert look(b" a ;b\n").dialect.columns == ("a", "b")


@pytest.mark.parametrize(
    ("data", "content_type"),
    [(b"a\n1\n2\n3\n", "text/csv"), (b"[{},{},{}]", "application/json")],
)
def test_too_many_rows_are_refused(data, content_type):
    assert look(data, content_type=content_type, max_rows=3).rows == 3

    with pytest.raises(TooManyRowsError) as caught:
        look(data, content_type=content_type, max_rows=2)

    assert caught.value.detail == "The upload has more than 2 rows. Split it."


def test_other_media_types_are_refused():
    with pytest.raises(UnsupportedMediaError) as caught:
        look(b"a\n", content_type="image/png")

    assert caught.value.detail == (
        "The media type 'image/png' is not supported. Supported: text/csv, "
        "application/csv, application/vnd.ms-excel, application/json, "
        "application/x-ndjson, application/ndjson, application/jsonl."
    )


def test_dialect_and_position_survive_json():
    dialect = look(b"a;b\n1;2\n").dialect
    position = Position(offset=5, row=1, line=2)

    assert Dialect.from_dict(json.loads(json.dumps(dialect.as_dict()))) == dialect
    assert Position.from_dict(json.loads(json.dumps(position.as_dict()))) == position


def test_json_elements_are_rows():
    rows = read_json(' [ {"a": 1} , {"b": [1, {"c": null}]}\n, {} ] ')

    assert [row.data for row in rows] == [{"a": 1}, {"b": [1, {"c": None}]}, {}]
    assert [(row.number, row.line) for row in rows] == [(1, None), (2, None), (3, None)]


def test_json_array_may_be_empty():
    assert read_json("[ ]") == []


def test_json_element_that_is_no_object_is_an_error_in_drf_s_words():
    rows = read_json('["x", 12, null, {"a": 1}]')

    assert [error.detail for row in rows for error in row.errors] == [
        "Invalid data. Expected a dictionary, but got str.",
        "Invalid data. Expected a dictionary, but got int.",
        "Invalid data. Expected a dictionary, but got NoneType.",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_may_be_marked(encoding):
    rows = read_all(
        '[{"a": "größe 😀"}, {"a": 2}]'.encode(encoding),
        content_type="application/json",
    )

    assert [row.data["a"] for row in rows] == ["größe 😀", 2]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            '{"a": 1}',
            (
                "row 1, line 1, byte 0: it must be an array of objects, but begins "
                "with '{'."
            ),
        ),
        ("[{}", "row 1, line 1, byte 3: expected ',' or ']' after it."),
        ("[", "row 1, line 1, byte 1: the array does not end."),
        ("[{},", "row 2, line 1, byte 4: the array does not end."),
        ("[{} {}]", "row 1, line 1, byte 4: expected ',' or ']' after it."),
        ("[{},]", "row 2, line 1, byte 4: expecting value."),
        ('[{"a": 1},\n\n{"b": x}]', "row 2, line 3, byte 18: expecting value."),
        ('[{"é": tru}]', "row 1, line 1, byte 8: expecting value."),
        ('[{"a": "x]', "row 1, line 1, byte 7: unterminated string starting at."),
        ('[{"a": NaN}]', "row 1, line 1, byte 1: NaN is not JSON."),
        ('[{}, {"a": -Infinity}]', "row 2, line 1, byte 5: -Infinity is not JSON."),
        ("[{}] {}", "row 1, line 1, byte 5: something follows the array."),
    ],
)
def test_json_errors_say_where(text, what):
    with pytest.raises(InvalidJSONError) as caught:
        look(text.encode(), content_type="application/json")

    assert caught.value.detail == f"The JSON is not valid in {what}"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_nested_without_end_is_refused(opening):
    with pytest.raises(InvalidJSONError) as caught:
        look(f"[{opening * 100_000}".encode(), content_type="application/json")

    assert caught.value.detail == (
        "The JSON is not valid in row 1, line 1, byte 1: it is nested too deeply."
    )


def test_json_number_of_thousands_of_digits_is_refused():
    with pytest.raises(InvalidJSONError) as caught:
        look(f'[{{"a": {"9" * 5000}}}]'.encode(), content_type="application/json")

    assert "row 1, line 1, byte 1" in caught.value.detail


def test_json_record_may_not_be_longer_than_the_limit():
    text = json.dumps([{"a": 1}, {"a": "é" * (MAX_RECORD_BYTES // 2)}])

    with pytest.raises(InvalidJSONError) as caught:
        look(text.encode(), content_type="application/json")

    assert "row 2" in caught.value.detail
    assert "the row is longer than 1048576 bytes" in caught.value.detail


def test_json_record_up_to_the_limit_is_read():
    value = "x" * (MAX_RECORD_BYTES - 20)

    rows = read_json(json.dumps([{"a": value}, {"a": 1}]))

    assert [row.data["a"] for row in rows] == [value, 1]


def test_json_wrong_encoding_is_found_behind_valid_rows():
    data = b'[{"a": 1},\n{"a": "\xff"}]'

    with pytest.raises(UndecodableError) as caught:
        look(data, content_type="application/json")

    assert caught.value.extra == {"encoding": "utf-8", "line": 2, "byte": 18}


CELLS = st.text(st.sampled_from('a1,;"\n\r é\u2028😀'), max_size=6)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=6),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"]),
    size=st.integers(1, 7),
)
def test_csv_is_read_the_same_however_the_stream_is_cut(rows, end, encoding, size):
    quoted = ['"' + '","'.join(c.replace('"', '""') for c in row) + '"' for row in rows]
    data = end.join(["a,b", *quoted]).encode(encoding)
    charset = "utf-16-be" if encoding == "utf-16-be" else None

    inspection = look(trickle(data, size), charset=charset)
    found = list(read(trickle(data, size), inspection.dialect))

    assert inspection.rows == len(rows)
    assert [(row.data["a"], row.data["b"]) for row, _ in found] == rows
    assert read_all(data, charset=charset) == [row for row, _ in found]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    values=st.lists(JSON, max_size=5),
    indent=st.sampled_from([None, 1]),
    is_ascii=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-16", "utf-32"]),
    size=st.integers(1, 7),
)
def test_json_is_read_the_same_however_the_stream_is_cut(
    values, indent, is_ascii, encoding, size
):
    text = json.dumps(values, indent=indent, ensure_ascii=is_ascii)
    # Lone surrogates have no encoding.
    data = text.encode(encoding, "replace")
    expected = json.loads(data.decode(encoding))

    inspection = look(trickle(data, size), content_type="application/json")
    found = list(read(trickle(data, size), inspection.dialect))

    assert [row.data for row, _ in found] == expected
    assert [row.data for row in read_all(data, content_type="application/json")] == (
        expected
    )


@given(data=st.binary(max_size=300), is_json=st.booleans())
def test_garbage_is_a_clear_refusal_or_rows(data, is_json):
    content_type = "application/json" if is_json else "text/csv"

    try:
        inspection = look(data, content_type=content_type)
    except (
        ColumnsError,
        EmptyUploadError,
        InvalidJSONError,
        NotCSVError,
        UndecodableError,
    ):
        return

    assert len(list(read(io.BytesIO(data), inspection.dialect))) == inspection.rows


@pytest.mark.parametrize("content_type", ["text/csv", "application/json"])
def test_memory_does_not_grow_with_the_upload(content_type):
    class Long(io.RawIOBase):
        """16 MB of rows, made as they are read."""

        def __init__(self):
            self._left = 128
            self._pending = b"a,b\n" if content_type == "text/csv" else b"[{}"

        def read(self, size=-1):
            record = b"1234567," + b"x" * 1000 + b"\n"

            if content_type != "text/csv":
                record = b',\n{"a": "' + b"x" * 1000 + b'"}'

            while self._left and len(self._pending) < size:
                self._pending += record * 128
                self._left -= 1

                if not self._left and content_type != "text/csv":
                    self._pending += b"]"

            taken, self._pending = self._pending[:size], self._pending[size:]

            return taken

    tracemalloc.start()

    try:
        inspection = look(Long(), content_type=content_type, max_rows=10_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert inspection.rows > 16_000
    # Some of it is kept, in case that it is all.
    assert peak < 6 * 1024 * 1024
