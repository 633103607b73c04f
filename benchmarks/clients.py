"""Clients that cost little: the load comes from the machine that is measured."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Answer", "Crowd", "Follower", "HttpClient", "hold_open")

HOST = "127.0.0.1"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Seconds since the request was sent."""

    #: Until the first line, or byte, of the body was there.
    first: float
    last: float
    body: bytes


class HttpClient:
    """One connection that is kept, blocking: its clock is not a loop's."""

    def __init__(self, port: int, *, timeout: float = 60.0) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str, accept: str = "application/json") -> Answer:
        return self._ask(f"GET {path}", accept)

    def post(self, path: str) -> Answer:
        return self._ask(f"POST {path}", "application/json")

    def _ask(self, line: str, accept: str) -> Answer:
        request = f"{line} HTTP/1.1\r\nHost: {HOST}\r\nAccept: {accept}\r\n"
        length = "Content-Length: 0\r\n" if line.startswith("POST") else ""
        began = time.perf_counter()
        self._socket.sendall(f"{request}{length}\r\n".encode())

        head = b""
        while b"\r\n\r\n" not in head:
            head += self._more()

        head, _, rest = head.partition(b"\r\n\r\n")
        headers = head.decode().lower().split("\r\n")

        if " 200 " not in headers[0] + " ":
            raise RuntimeError(f"{line}: {headers[0]}\n{rest[:500].decode()}")

        pieces = [rest]

        if "transfer-encoding: chunked" in headers:
            # The first chunk holds the first frame: each is flushed by itself.
            while b"\n" not in pieces[-1].partition(b"\r\n")[2]:
                pieces.append(self._more())

            first = time.perf_counter()
            tail = b"".join(pieces[-1:])

            while not tail.endswith(b"0\r\n\r\n"):
                piece = self._more()
                pieces.append(piece)
                tail = tail[-8:] + piece
        else:
            wanted = next(
                int(header.partition(":")[2])
                for header in headers
                if header.startswith("content-length:")
            )
            first = time.perf_counter()

            while sum(map(len, pieces)) < wanted:
                pieces.append(self._more())

        last = time.perf_counter()
        body = b"".join(pieces)

        if "transfer-encoding: chunked" in headers:
            body = _unchunked(body)

        return Answer(first=first - began, last=last - began, body=body)

    def _more(self) -> bytes:
        piece = self._socket.recv(1 << 20)

        if not piece:
            raise ConnectionError("The server closed the connection.")

        return piece


def _unchunked(body: bytes) -> bytes:
    chunks, at = [], 0

    while size := int(body[at : (begin := body.index(b"\r\n", at))], 16):
        chunks.append(body[begin + 2 : begin + 2 + size])
        at = begin + 2 + size + 2

    return b"".join(chunks)


class Follower(asyncio.Protocol):
    """A WebSocket that counts what it is told and reads none of it.

    `script` are the messages that it sends, each after so many were heard.
    """

    def __init__(
        self, path: str, script: dict[int, Any], on_message: Callable[[], None]
    ) -> None:
        self.heard = 0
        self._path = path
        self._script = script
        self._on_message = on_message
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        #: Done when the connection is closed.
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {self._path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data

        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")

            if not end:
                return

            if b" 101 " not in head:
                raise RuntimeError(head.decode())

            self._open, self._buffer = True, rest
            self._go_on()

        while self._take():
            pass

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set_result(None)

    def _take(self) -> bool:
        """Take one frame of the buffer, if it is whole."""
        buffer = self._buffer

        if len(buffer) < 2:
            return False

        size, at = buffer[1], 2

        if size == 126:
            if len(buffer) < 4:
                return False

            size, at = struct.unpack_from("!H", buffer, 2)[0], 4
        elif size == 127:
            if len(buffer) < 10:
                return False

            size, at = struct.unpack_from("!Q", buffer, 2)[0], 10

        if len(buffer) < at + size:
            return False

        self._buffer = buffer[at + size :]

        if buffer[0] & 15 == 1:
            self.heard += 1
            self._go_on()
            self._on_message()
        elif buffer[0] & 15 == 8:
            raise RuntimeError(f"The server closed: {buffer[at:].decode('latin-1')}")

        return True

    def _go_on(self) -> None:
        if (message := self._script.get(self.heard)) is not None:
            self.say(message)

    def say(self, message: Any) -> None:
        text = json.dumps(message).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        size = (
            struct.pack("!BB", 0x81, 0x80 | len(text))
            if len(text) < 126
            else struct.pack("!BBH", 0x81, 0xFE, len(text))
        )
        self.transport.write(size + mask + masked)


class Crowd:
    """Followers of one server; how much they have heard, all together."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []
        self._heard = self._wanted = 0
        self._complete = asyncio.Event()

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        script: dict[int, Any],
        count: int,
        *,
        greetings: int,
        patience: float,
    ) -> Self:
        """`count` sockets, a hundred at a time, each of which has heard so many
        messages."""
        loop = asyncio.get_running_loop()
        crowd = cls()

        for start in range(0, count, 100):
            made = await asyncio.gather(
                *(
                    loop.create_connection(
                        lambda: Follower(path, script, crowd._on_message), HOST, port
                    )
                    for _ in range(start, min(count, start + 100))
                )
            )
            crowd._followers += [follower for _, follower in made]
            crowd._wanted = 0
            await crowd.hear(greetings, patience)

        return crowd

    @property
    def size(self) -> int:
        return len(self._followers)

    async def hear(self, messages: int, patience: float) -> None:
        """Wait until each has heard so many more, those counted that came before."""
        self._wanted += messages * self.size
        self._complete.clear()
        self._look()

        async with asyncio.timeout(patience):
            await self._complete.wait()

    async def leave(self) -> None:
        for follower in self._followers:
            follower.transport.abort()

        await asyncio.gather(*(follower.lost for follower in self._followers))

    def _on_message(self) -> None:
        self._heard += 1
        self._look()

    def _look(self) -> None:
        if self._heard >= self._wanted:
            self._complete.set()


def hold_open(port: int, path: str, count: int) -> list[socket.socket]:
    """`count` NDJSON streams whose first frame has come."""
    opened = []

    for _ in range(count):
        connection = socket.create_connection((HOST, port), timeout=60)
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n"
            "Accept: application/x-ndjson\r\n\r\n".encode()
        )
        got = b""

        while b"\n" not in got.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2]:
            piece = connection.recv(65536)

            if not piece:
                raise ConnectionError(f"The server closed a stream: {got.decode()}")

            got += piece

        if b" 200 " not in got[:20]:
            raise RuntimeError(got[:500].decode())

        opened.append(connection)

    return opened
