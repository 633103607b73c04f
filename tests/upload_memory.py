"""Sends one large upload to a view in this process, and prints what memory grew by.

    python -m tests.upload_memory FORMAT MEGABYTES [wsgi|asgi]

As bytes of the peak of the process. FORMAT may end in `+gzip`. The upload is made as it
is read; the database is a new SQLite file.
"""

# ruff: noqa: T201 - it is a command, and what it prints is its result.

from __future__ import annotations

import asyncio
import io
import os
import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MIB = 1024 * 1024
PATH = "/api/contracts/"
QUERY = "unique_fields=number"
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


def main(name: str, megabytes: int, server: str = "wsgi") -> None:
    kind, _, coding = name.partition("+")
    send = {"wsgi": by_wsgi, "asgi": by_asgi}[server]
    peaks = []

    # After the first, what is made once is there.
    for size in (4, megabytes):
        pieces = rows(kind, size * MIB)
        before = stored()
        status, answer = send(kind, coding, packed(pieces) if coding else pieces, size)
        assert status == 202, answer
        assert stored() - before >= size, (before, stored())
        peaks.append(peak())

    print(peaks[1] - peaks[0])


def stored() -> int:
    """Mebibytes of uploads in the database."""
    from django_partstream.models import JobInput

    return JobInput.objects.count()


def by_wsgi(
    kind: str, coding: str, pieces: Iterator[bytes], size: int
) -> tuple[int, bytes]:
    from django.core.handlers.wsgi import WSGIHandler

    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "QUERY_STRING": QUERY,
        "CONTENT_TYPE": FORMATS[kind],
        # More than there is: WSGI reads up to it, and the stream ends before.
        "CONTENT_LENGTH": str(2 * size * MIB),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "HTTP_PREFER": "respond-async",
        "wsgi.input": Stream(pieces),
        "wsgi.url_scheme": "http",
    }

    if coding:
        environ["HTTP_CONTENT_ENCODING"] = coding

    said: list[str] = []

    def start(status: str, *_: Any) -> Callable[[bytes], object]:
        said.append(status)

        return io.BytesIO().write  # which Django never calls

    response = WSGIHandler()(environ, start)
    answer = b"".join(response)
    response.close()

    return int(said[0].split()[0]), answer


def by_asgi(
    kind: str, coding: str, pieces: Iterator[bytes], size: int
) -> tuple[int, bytes]:
    """Through the whole application, as a server would send it."""
    from django_partstream.asgi import get_application

    headers = [
        (b"host", b"testserver"),
        (b"content-type", FORMATS[kind].encode()),
        (b"prefer", b"respond-async"),
        *([(b"content-encoding", coding.encode())] if coding else []),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": QUERY.encode(),
        "root_path": "",
        "headers": headers,
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
    }
    sent: list[dict[str, Any]] = []
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)

        if piece is not None:
            return {"type": "http.request", "body": piece, "more_body": True}

        if not ended:
            ended.append(True)

            return {"type": "http.request", "body": b"", "more_body": False}

        await answered.wait()

        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    async def served() -> None:
        await get_application()(scope, receive, send)

    ended: list[bool] = []
    asyncio.run(served())
    start, *bodies = sent

    return start["status"], b"".join(body["body"] for body in bodies)


if __name__ == "__main__":
    with TemporaryDirectory() as directory:
        os.environ["TEST_SQLITE_PATH"] = str(Path(directory) / "memory.sqlite3")
        os.environ["TEST_DATABASE"] = "sqlite"
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

        import django

        django.setup()

        from django.conf import settings
        from django.core.management import call_command

        settings.PARTSTREAM = {
            "MAX_UPLOAD_BYTES": 4096 * MIB,
            "MAX_ROWS": 10**9,
            # Nobody works here.
            "QUEUE": "database",
        }
        call_command("migrate", run_syncdb=True, verbosity=0)
        main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
