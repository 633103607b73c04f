from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_partstream import offload


@pytest.fixture
def pool() -> Iterator[offload.Pool]:
    """Two threads, whose calls end with their callers."""
    pool = offload.Pool(2, name="test", ends_statements=True)
    yield pool
    pool.close()
