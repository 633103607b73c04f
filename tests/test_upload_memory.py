"""Memory grows with the batch, never with the upload."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.forms import LONG, count

MIB = 1024 * 1024
MEGABYTES = count(12, 1024)

pytestmark = pytest.mark.timeout(count(120, 3600))


EVERY = [
    (kind + coding, server)
    for kind in ("csv", "json", "ndjson")
    for coding in ("", "+gzip")
    for server in ("wsgi", "asgi")
]
FEW = [("csv", "wsgi"), ("json+gzip", "asgi"), ("ndjson", "wsgi")]


@pytest.mark.parametrize(("kind", "server"), EVERY if LONG else FEW)
def test_a_large_upload_takes_as_much_memory_as_a_small_one(
    kind: str, server: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.upload_memory", kind, str(MEGABYTES), server],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    # The short form is held to less, or it would show nothing: it grows by one or two.
    assert int(done.stdout) < count(6, 64) * MIB
