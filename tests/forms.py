"""The short form of slow suites, for `make test`; the long one for `make test-long`."""

from __future__ import annotations

import os

LONG = os.environ.get("PARTSTREAM_LONG") == "1"


def count(short: int, long: int) -> int:
    """How many inputs, rounds or streams this run takes."""
    return long if LONG else short
