"""How a server is sent many rows, and what that costs it."""

from __future__ import annotations

import dataclasses
import functools
import http.client
import json
import time
from typing import TYPE_CHECKING, Any, Self

from .apps.ledger import payloads
from .meter import STATEMENTS, Meter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .databases import Database
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
    #: As a meter tells them.
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    #: What the database was asked, the most expensive first.
    statements: Sequence[str] = ()


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

    def __init__(self, server: Server, database: Database) -> None:
        self._meter = Meter(server, database=database)
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

    def take(self, ask: Ask, path: str, body: bytes, *, wanted: str = "2") -> Take:
        seconds, _, answered = self._meter.watch(
            lambda: self._answer(ask.method, path, body, _headers(ask), wanted)
        )

        # As Django counts them, on every database alike.
        return self._taken(seconds, {STATEMENTS: float(answered["X-Statements"])})

    def floor(self, path: str) -> Take:
        """Of what measures itself: what came before and after does not count."""
        answer = self._meter.watch(lambda: self.get(path))

        return self._taken(answer["seconds"], answer["costs"])

    def seconds(self, ask: Ask, path: str, body: bytes) -> float:
        """The same without anything else that is measured."""
        return self._answer(ask.method, path, body, _headers(ask))[0]

    def _taken(self, seconds: float, costs: Mapping[str, float]) -> Take:
        metered = {what: values[0] for what, values in self._meter.costs(1).items()}

        return Take(
            seconds=seconds,
            costs={**metered, **costs},
            statements=self._meter.statements(),
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


def _headers(ask: Ask) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Count-Statements": "yes",
        **dict(ask.headers),
    }
