"""A long file is counted without being taken apart where nothing depends on it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk import rows
from django_partstream.bulk.csv_blocks import CSVReader
from django_partstream.errors import UndecodableError

LINES = st.sampled_from(
    [
        *[b"1,2\n", b"3,4\r\n", b"5,6\r", b"gr\xc3\xb6\xc3\x9fe,\n", b",\n"],
        *[b"\n", b"  \n", b"1\n", b"1,2,3\n", b'"a\nb",2\n', b'"a",2\n', b'a",2\n'],
    ]
)


def inspection(
    data: bytes, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> rows.Inspection:
    monkeypatch.setattr(rows, "KEPT_BYTES", kept_bytes)

    return rows.inspect(
        io.BytesIO(data),
        content_type="text/csv",
        charset=None,
        known=("a", "b"),
        required=(),
        max_rows=1000,
        size=2,
    )


@given(lines=st.lists(LINES, min_size=1, max_size=12))
def test_as_many_rows_are_counted_as_are_read(lines: list[bytes]) -> None:
    data = b"a,b\n" + b"".join(lines)

    with pytest.MonkeyPatch.context() as patch:
        passed = inspection(data, patch, kept_bytes=0)
        whole = inspection(data, patch, kept_bytes=10**6)

    assert whole.blocks is not None
    assert passed.rows == whole.rows == sum(map(len, whole.blocks))
    assert passed.dialect == whole.dialect
    assert sum(1 for _ in rows.read(io.BytesIO(data), passed.dialect)) == whole.rows


def test_plain_lines_are_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    real = CSVReader.take

    def take(self: CSVReader, count: int) -> object:
        taken.append(count)

        return real(self, count)

    monkeypatch.setattr(CSVReader, "take", take)
    found = inspection(b"a,b\n" + b"1,2\n" * 100, monkeypatch, kept_bytes=0)

    assert (found.rows, found.blocks) == (100, None)
    # The first ones, and the end.
    assert len(taken) <= 2


def test_bytes_that_cannot_be_decoded_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b"a,b\n" + b"1,2\n" * 9 + b"gr\xf6\xdfe,2\n"

    with pytest.raises(UndecodableError, match="line 11, byte"):
        inspection(data, monkeypatch, kept_bytes=0)
