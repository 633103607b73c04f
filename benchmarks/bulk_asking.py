"""How a server is sent many rows, and what that costs it."""

from __future__ import annotations

import dataclasses
import functools
import http.client
import json
import time
from typing import TYPE_CHECKING, Any, Self

from .apps.ledger import payloads

if TYPE_CHECKING:
    from .servers import Server

__all__ = ("Ask", "Asker", "Take", "payload")

MINIMAL = {"Prefer": "return=minimal"}


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Where an operation is asked for."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    #: Whether what is to be deleted is named by objects.
    keys_as_objects: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    seconds: float
    #: Of the server's process.
    cpu: float
    #: How much more memory it took than before.
    mib: float = 0.0
    statements: int | None = None


@functools.cache
def payload(
    operation: str, table: str, count: int, *, as_objects: bool = False
) -> bytes:
    """The body of a request: the same bytes for everybody."""
    if operation == "delete":
        keys = range(1, count + 1)

        return _json([{"id": key} for key in keys] if as_objects else list(keys))

    rows = [payloads.row(table, number, version=1) for number in range(count)]

    if operation == "update":
        rows = [{"id": number, **row} for number, row in enumerate(rows, start=1)]

    return _json(rows)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


class Asker:
    """One connection to one server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", server.port, timeout=600
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        _, body, _ = self._answer("GET", path, b"", {})

        return json.loads(body)

    def take(
        self,
        ask: Ask,
        path: str,
        body: bytes,
        *,
        counting: bool = False,
        wanted: str = "2",
    ) -> Take:
        headers = {"Content-Type": "application/json", **dict(ask.headers)}

        if counting:
            headers["X-Count-Statements"] = "yes"

        self._server.forget_peak()
        memory, cpu = self._server.rss_kib, self._server.whole_cpu_seconds
        seconds, _, answered = self._answer(ask.method, path, body, headers, wanted)

        return Take(
            seconds=seconds,
            cpu=self._server.whole_cpu_seconds - cpu,
            mib=max(0, self._server.peak_kib - memory) / 1024,
            statements=int(answered["X-Statements"]) if counting else None,
        )

    def _answer(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: dict[str, str],
        wanted: str = "2",
    ) -> tuple[float, bytes, Any]:
        began = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - began

        if not str(response.status).startswith(wanted):
            text = content[:500].decode(errors="replace")
            raise RuntimeError(f"{method} {path}: {response.status}\n{text}")

        return seconds, content, response.headers
