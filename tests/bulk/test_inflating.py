"""Compressed uploads."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_partstream.bulk.inflating import inflated
from django_partstream.errors import (
    TooLargeError,
    UndecodableError,
    UnsupportedMediaError,
)

DATA = b"number,year\n" + b"".join(b"C%d,2024\n" % n for n in range(5_000))


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    return packer.compress(data) + packer.flush()


class Cut:
    """Gives at most `size` bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._stream = io.BytesIO(data)
        self._size = size

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._size))


def read_all(
    data: bytes, coding: str | None, *, limit: int = 10**7, cut: int = 10**9
) -> bytes:
    stream = inflated(Cut(data, cut), coding, limit=limit)
    found = b""

    while block := stream.read(1000):
        assert len(block) <= max(1000, cut)
        found += block

    return found


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        (" GZIP ", gzip.compress),
        ("identity, gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("", bytes),
        (None, bytes),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 100_000])
def test_it_reads_as_what_it_holds(coding: str | None, pack: Any, cut: int) -> None:
    assert read_all(pack(DATA), coding, cut=cut) == DATA


def test_a_gzip_file_may_be_several_one_after_another() -> None:
    data = gzip.compress(DATA[:100]) + gzip.compress(b"") + gzip.compress(DATA[100:])

    assert read_all(data, "gzip", cut=13) == DATA


@given(data=st.binary(max_size=300), cut=st.integers(1, 50))
def test_any_bytes_come_back(data: bytes, cut: int) -> None:
    assert read_all(gzip.compress(data), "gzip", cut=cut) == data
    assert read_all(zlib.compress(data), "deflate", cut=cut) == data


@pytest.mark.parametrize(
    ("data", "coding", "what"),
    [
        (DATA, "gzip", "is broken"),
        (gzip.compress(DATA)[:-20], "gzip", "ends too early"),
        (gzip.compress(DATA) + b"garbage", "gzip", "is broken"),
        (gzip.compress(DATA)[:-8] + b"\0" * 8, "gzip", "is broken"),
        (zlib.compress(DATA)[:50], "deflate", "ends too early"),
        (zlib.compress(DATA) + b"x", "deflate", "goes on behind its end"),
        (b"\xff" * 50, "deflate", "is broken"),
    ],
)
def test_what_is_broken_is_said_to_be(data: bytes, coding: str, what: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        read_all(data, coding)

    assert caught.value.detail == (
        f"The upload is declared as {coding}, but its compressed data {what}. "
        "Compress it again, or leave out Content-Encoding."
    )


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "gzip, deflate", "zstd"])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(UnsupportedMediaError) as caught:
        inflated(io.BytesIO(), coding, limit=1)

    assert caught.value.detail == (
        f"The content encoding {coding!r} is not supported. Supported: gzip, "
        "deflate, one of them."
    )


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    tracemalloc.start()

    with pytest.raises(TooLargeError) as caught:
        read_all(bomb, "gzip", limit=1_000_000)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.detail == (
        "The upload holds more than the 1000000 bytes allowed once it is "
        "decompressed. Split it."
    )
    assert peak < 3_000_000
