"""Blocks of CSV, kept by columns, are the rows that are read one by one."""

from __future__ import annotations

import io
import itertools
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from django_partstream.bulk import line_blocks
from django_partstream.bulk.cells import Cells
from django_partstream.bulk.columnar import Columnar, members
from django_partstream.bulk.compiled.reading import ABSENT
from django_partstream.bulk.rows import Dialect, Position, read, reader
from django_partstream.errors import NotCSVError, UndecodableError

# What ends lines, quotes, divides and is blank, and what is none of that.
TEXT = st.text(st.sampled_from("aé0,,;\"\n\n\r ='\0\u2028"), max_size=60)
LINES = st.lists(
    st.sampled_from(
        [
            "1,2,3",
            "é,,",
            "",
            " ",
            '"a,b",2,3',
            '"x\ny",2,3',
            "1,2",
            "1,2,3,4",
            'a"b,1,2',
        ]
    ),
    max_size=12,
)
FILES = TEXT | st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"])).map(
    lambda given: given[1].join(given[0])
)
DIALECTS = st.sampled_from(
    [
        Dialect(format="csv", encoding="utf-8", delimiter=",", columns=columns)
        for columns in [("a",), ("a", "b", "c"), ("_row", "a", "_errors")]
    ]
)


def one_by_one(data, dialect):
    """What is read, and the error that ends it."""
    found: list[Any] = []

    try:
        found += read(io.BytesIO(data), dialect)
        found.append(None)
    except (NotCSVError, UndecodableError) as error:
        found.append(str(error))

    return found


def together(data, dialect, sizes):
    found: list[Any] = []
    reads = reader(io.BytesIO(data), dialect)

    try:
        for size in sizes:
            stretch = reads.take(size)

            if stretch is None:
                found.append(None)
                break

            found += [(row, stretch.end(i)) for i, row in enumerate(stretch.block)]
    except (NotCSVError, UndecodableError) as error:
        found.append(str(error))

    return found


@given(text=FILES, dialect=DIALECTS, size=st.integers(1, 9), odd=st.integers(1, 4))
def test_blocks_have_the_rows_errors_and_positions_of_one_by_one(
    text, dialect, size, odd
):
    data = text.encode()

    with mock.patch.object(line_blocks, "ODD_ROWS", odd):
        found = together(data, dialect, itertools.repeat(size))

    expected = one_by_one(data, dialect)

    # The rows before an error may come with it or not at all.
    if isinstance(expected[-1], str):
        assert found[-1] == expected[-1]
        assert found[:-1] == expected[: len(found) - 1]
    else:
        assert found == expected


@given(data=st.binary(max_size=80), size=st.integers(1, 5))
def test_blocks_of_undecodable_bytes_say_what_one_by_one_says(data, size):
    dialect = Dialect(format="csv", encoding="utf-8", delimiter=",", columns=("a",))

    expected = one_by_one(data, dialect)

    assert together(data, dialect, itertools.repeat(size))[-1] == expected[-1]


def test_file_is_read_on_from_the_end_of_any_row():
    data = b'a,b\n1,2\n"x\ny",3\n\n4,5\n'
    dialect = Dialect(
        format="csv",
        encoding="utf-8",
        delimiter=",",
        columns=("a", "b"),
        start=4,
        line=1,
    )
    stretch = reader(io.BytesIO(data), dialect).take(10)
    assert stretch is not None

    for index in range(len(stretch)):
        position = stretch.end(index)
        again = reader(io.BytesIO(data[position.offset :]), dialect, position).take(10)
        rest = [] if again is None else [*again.block]
        assert rest == [*stretch.block][index + 1 :]

    assert stretch.end(1) == Position(offset=16, row=2, line=4)


def test_record_longer_than_a_cell_may_be_is_looked_at_by_itself():
    data = b"1,2\n" + b"x" * (128 * 1024 + 1) + b",2\n3,4\n"
    dialect = Dialect(format="csv", encoding="utf-8", delimiter=",", columns=("a", "b"))

    found = together(data, dialect, itertools.repeat(100))

    assert found == one_by_one(data, dialect)
    assert [error.code for error in found[1][0].errors] == ["max_length"]


def test_row_of_columns_has_the_members_that_it_has():
    rows = Columnar({"a": ["1", ABSENT, "3"], "b": ["x", "y", "z"]}, 3)

    assert [*rows] == [{"a": "1", "b": "x"}, {"b": "y"}, {"a": "3", "b": "z"}]
    assert [*rows[1:]] == [*rows][1:]
    assert rows[-1] == {"a": "3", "b": "z"}
    assert members(rows, "a") == members([*rows], "a") == ["1", None, "3"]
    assert members(rows, "c") == [None, None, None]

    with pytest.raises(IndexError):
        rows[3]


class SheetSerializer(serializers.Serializer[Any]):
    needed = serializers.CharField()
    null = serializers.IntegerField(allow_null=True)
    blank = serializers.CharField(allow_blank=True)
    left_out = serializers.CharField(required=False)
    words = serializers.ListField(child=serializers.CharField(), required=False)
    document = serializers.JSONField(required=False)


NAMES = tuple(SheetSerializer().fields)
CELL = st.sampled_from(["", "NA", "1", "x", "[1]", ABSENT])


@given(
    rows=st.lists(st.tuples(*[CELL] * len(NAMES)), min_size=1, max_size=5),
    nulls=st.sets(st.sampled_from(["", "NA"])),
)
def test_cells_of_columns_say_what_cells_of_rows_say(rows, nulls):
    cells = Cells(SheetSerializer(), frozenset(nulls))
    columns = [list(column) for column in zip(*rows, strict=True)]
    given = Columnar(dict(zip(NAMES, columns, strict=True)), len(rows))

    assert [*cells.columns(given)] == [cells.data(row) for row in given]
    assert [*cells.columns(given, skips_empty=True)] == [
        cells.data({name: cell for name, cell in row.items() if cell}) for row in given
    ]
