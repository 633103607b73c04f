"""A year of flights as files of any length, and those that must know them."""

from __future__ import annotations

import itertools
import lzma
from typing import TYPE_CHECKING

from .servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ("YEAR_ROWS", "Files")

YEAR_ROWS = 336_776
YEAR = ROOT / "tests" / "data" / "flights-2013.csv.xz"


class Files:
    """CSV files with so many flights, made once each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def first(self, rows: int) -> Path:
        """The first `rows` of 2013, 2014, …: a year more of the same flights each."""
        return self._made(f"first-{rows}.csv", itertools.islice(_flights(), rows))

    def part(self, number: int, of: int) -> Path:
        """Every so-manieth flight of 2013: parts that have no flight in common."""
        year = itertools.islice(_flights(), YEAR_ROWS)
        lines = itertools.islice(year, number, None, of)

        return self._made(f"part-{number}-of-{of}.csv", lines)

    def _made(self, name: str, lines: Iterator[bytes]) -> Path:
        path = self._folder / name

        if not path.exists():
            with path.open("wb") as file:
                file.write(_header())
                file.writelines(lines)

        return path


def _header() -> bytes:
    with lzma.open(YEAR) as file:
        return file.readline()


def _flights() -> Iterator[bytes]:
    for more in itertools.count():
        with lzma.open(YEAR) as file:
            next(file)

            for line in file:
                yield _later(line, more)


def _later(line: bytes, years: int) -> bytes:
    """The same flight so many years later."""
    if not years:
        return line

    before, _, time_hour = line.rpartition(b",")
    moved = b"%d" % (int(time_hour[:4]) + years) + time_hour[4:]

    return b"%d%s,%s" % (2013 + years, before[4:], moved)
