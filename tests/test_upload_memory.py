"""Memory grows with the batch, never with the upload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.forms import count

MIB = 1024 * 1024
MEGABYTES = count(12, 1024)


@pytest.mark.parametrize("kind", ["csv", "json+gzip", "ndjson"])
def test_a_large_upload_takes_as_much_memory_as_a_small_one(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.upload_memory", kind, str(MEGABYTES)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # The short form is held to less, or it would show nothing.
    assert int(done.stdout) < count(12, 64) * MIB
