"""Sends one large upload to a view in this process, and prints what memory grew by.

    python -m tests.upload_memory FORMAT MEGABYTES

As bytes of the peak of the process. The database is a new SQLite file.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import io
import os
import resource
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MIB = 1024 * 1024
FORMATS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}


def rows(kind: str, size: int) -> Iterator[bytes]:
    """An upload of about so many bytes, in pieces."""
    made = number = 0
    head, end = {
        "csv": (b"number,year,amount\n", b""),
        "json": (b"[", b'{"number": "last", "year": 1}]'),
        "ndjson": (b"", b""),
    }[kind]
    yield head

    while made < size:
        piece = b"".join(row(kind, number + n) for n in range(2_000))
        number += 2_000
        made += len(piece)
        yield piece

    yield end


def row(kind: str, number: int) -> bytes:
    if kind == "csv":
        return b"C%012d,2024,1234.50\n" % number

    text = b'{"number": "C%012d", "year": 2024, "amount": "1234.50"}' % number

    return text + (b"," if kind == "json" else b"\n")


def packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS)

    for piece in pieces:
        yield packer.compress(piece)

    yield packer.flush()


class Stream(io.RawIOBase):
    """A request's body that is made as it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size or size < 0:
            piece = next(self._pieces, None)

            if piece is None:
                break

            self._rest += piece

        taken, self._rest = self._rest[:size], self._rest[size:]

        return taken


def peak() -> int:
    scale = 1 if sys.platform == "darwin" else 1024

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def main(name: str, megabytes: int) -> None:
    kind, _, coding = name.partition("+")
    answers = [submitted(kind, coding, size) for size in (1, megabytes)]

    print(answers[1] - answers[0])


def submitted(kind: str, coding: str, megabytes: int) -> int:
    """Send one; the peak afterwards."""
    from django.core.handlers.wsgi import WSGIRequest

    from django_partstream.models import JobInput
    from tests.app.views import ContractViewSet

    pieces = rows(kind, megabytes * MIB)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/contracts/",
        "QUERY_STRING": "unique_fields=number",
        "CONTENT_TYPE": FORMATS[kind],
        # More than there is: WSGI reads up to it, and the stream ends before.
        "CONTENT_LENGTH": str(2 * megabytes * MIB),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "HTTP_PREFER": "respond-async",
        "wsgi.input": Stream(packed(pieces) if coding else pieces),
        "wsgi.url_scheme": "http",
    }

    if coding:
        environ["HTTP_CONTENT_ENCODING"] = coding

    view = ContractViewSet.as_view({"post": "create"})
    response = view(WSGIRequest(environ))
    assert response.status_code == 202, response.content
    stored = JobInput.objects.count()
    assert stored >= megabytes, stored

    return peak()


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        os.environ["TEST_SQLITE_PATH"] = str(Path(directory) / "memory.sqlite3")
        os.environ["TEST_DATABASE"] = "sqlite"
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

        import django

        django.setup()

        from django.conf import settings
        from django.core.management import call_command

        settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 4096 * MIB, "MAX_ROWS": 10**9}
        call_command("migrate", run_syncdb=True, verbosity=0)
        main(sys.argv[1], int(sys.argv[2]))
