"""What other requests notice of a job in the process that serves them."""

from __future__ import annotations

import pytest

from benchmarks.flights import YEAR_ROWS
from benchmarks.job_latency import notice, percentile
from tests.forms import count


@pytest.mark.large
@pytest.mark.timeout(900)
def test_requests_are_answered_while_flights_are_loaded_into_sqlite() -> None:
    noticed = notice("sqlite", rows=count(20_000, YEAR_ROWS), requests=100)

    # Far above what the benchmark shows: other tests run beside this one.
    assert percentile(noticed.busy, 99) < 1000
    assert percentile(noticed.late, 99) < 400
