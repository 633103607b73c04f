"""Real servers with real sockets, each in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from asgi_example import ports
from asgi_example.processes import Process, Site
from tests.forms import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent.parent

ASGI = "tests.streams.application:application"
WSGI = "tests.streams.application:wsgi"

#: How each is started, and what it says when it listens.
COMMANDS: Mapping[str, tuple[Callable[[int], list[str]], str]] = {
    "uvicorn": (
        lambda port: ["uvicorn", ASGI, "--host", ports.HOST, "--port", str(port)],
        "Uvicorn running",
    ),
    "hypercorn": (
        lambda port: ["hypercorn", ASGI, "--bind", f"{ports.HOST}:{port}"],
        "Running on",
    ),
    "hypercorn alone": (
        lambda port: [
            *("hypercorn", ASGI, "--bind", f"{ports.HOST}:{port}"),
            *("--workers", "0"),
        ],
        "Running on",
    ),
    "daphne": (
        lambda port: ["daphne", "-b", ports.HOST, "-p", str(port), ASGI],
        "Listening on TCP",
    ),
    "gunicorn": (
        lambda port: ["gunicorn", "--bind", f"{ports.HOST}:{port}", WSGI],
        "Booting worker",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """One of these, listening."""

    port: int
    process: Process

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        return self.ask("GET", path, headers)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(ports.HOST, self.port, timeout=PATIENCE)

        with contextlib.closing(connection):
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}

            return response.status, found, response.read()

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/state/")[2])

        return found

    def until(self, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The state as soon as it is as it should be."""
        deadline = time.monotonic() + PATIENCE

        while not ready(found := self.state()):
            assert time.monotonic() < deadline, (found, self.process.output())
            time.sleep(0.01)

        return found

    def release(self, name: str) -> None:
        assert self.get(f"/release/{name}/")[0] == 200


@contextlib.contextmanager
def serving(kind: str = "uvicorn", **site: Any) -> Iterator[Server]:
    """A server of this kind, with these settings of Django's."""
    command, listens = COMMANDS[kind]
    port = ports.free_port()

    with Site() as processes:
        process = processes.start(
            kind,
            [sys.executable, "-m", *command(port)],
            cwd=ROOT,
            environment={**os.environ, "TEST_SITE": json.dumps(site)},
        )
        process.wait_until_logged(listens, seconds=60)

        yield Server(port=port, process=process)


class Reader:
    """A client that reads what it wants of one response, and no more."""

    def __init__(
        self, server: Server, path: str, *, receive_buffer: int | None = None, **headers
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)

        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)

        self.socket.connect((ports.HOST, server.port))
        lines = [f"GET {path} HTTP/1.1", f"Host: {ports.HOST}"]
        lines += [
            f"{name.replace('_', '-')}: {value}" for name, value in headers.items()
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self.socket.makefile("rb")
        self._partial = b""
        self._frames: deque[dict[str, Any]] = deque()
        self.status = int(self._file.readline().split()[1])
        self.headers = dict(self._headers())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()

    def _headers(self) -> Iterator[tuple[str, str]]:
        while (line := self._file.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")

            yield name.lower(), value.strip()

    def chunk(self) -> bytes:
        """The next one of a chunked body; empty at its proper end. Raises EOFError
        where the connection ends before that."""
        head = self._file.readline()

        # It may end in the midst of a line, or of what the line announces.
        if not head.endswith(b"\n"):
            raise EOFError

        size = int(head, 16)
        body = self._file.read(size + 2)

        if len(body) < size + 2:
            raise EOFError

        assert body.endswith(b"\r\n")

        return body[:-2]

    def frame(self) -> dict[str, Any]:
        """The next one, of lines or of events."""
        while not self._frames:
            chunk = self.chunk()

            if not chunk:
                raise EOFError

            self._feed(chunk)

        return self._frames.popleft()

    def rest(self) -> list[dict[str, Any]]:
        """Every frame to the proper end of the body."""
        while chunk := self.chunk():
            self._feed(chunk)

        found = [*self._frames]
        self._frames.clear()

        return found

    def _feed(self, chunk: bytes) -> None:
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        lines = [line.removeprefix(b"data: ") for line in lines]
        self._frames += (json.loads(line) for line in lines if line.startswith(b"{"))

    def abort(self) -> None:
        """Leave, in a way that the server cannot miss."""
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"
        )
        self._file.close()
        self.socket.close()
