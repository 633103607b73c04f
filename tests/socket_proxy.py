"""A proxy of sockets that cuts a line where it is told to, in threads of the tests."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("cutting",)

#: Sends a reset, and no goodbye, when the socket is closed.
LINGER = struct.pack("ii", 1, 0)


@contextlib.contextmanager
def cutting(port: int) -> Iterator[int]:
    """A proxy in front of `port`; its own port.

    The address of a socket says how its line is treated: `?cut=3&times=2` lets three
    messages of the server through, then half of the fourth, and cuts; so for the first
    two connections to that address.
    """
    opened: Counter[str] = Counter()
    counting = threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head, rest = read_head(self.request)
            path = head.split(b" ", 2)[1].decode()
            asked = dict(parse_qsl(urlsplit(path).query))

            with counting:
                opened[path] += 1
                is_cut = opened[path] <= int(asked["times"])

            with socket.create_connection(("127.0.0.1", port)) as upstream:
                upstream.sendall(head + rest)
                up = threading.Thread(target=copy, args=(self.request, upstream))
                up.start()

                with contextlib.suppress(OSError):
                    down(upstream, self.request, int(asked["cut"]) if is_cut else None)

                for line in (self.request, upstream):
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)

                    with contextlib.suppress(OSError):
                        line.shutdown(socket.SHUT_RD)

                self.request.close()
                upstream.close()
                up.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = False
        request_queue_size = 128

        def shutdown_request(self, request: Any) -> None:
            # With a goodbye; ours is none.
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def down(upstream: socket.socket, client: socket.socket, cut: int | None) -> None:
    """Hand on what the server says, up to the middle of a message."""
    head, rest = read_head(upstream)
    client.sendall(head)
    messages = 0

    while True:
        while (size := message_size(rest)) is None or len(rest) < size:
            if not (piece := upstream.recv(65536)):
                client.sendall(rest)
                return

            rest += piece

        if messages == cut:
            client.sendall(rest[: size // 2])
            return

        client.sendall(rest[:size])
        rest = rest[size:]
        messages += 1


def message_size(data: bytes) -> int | None:
    """With its head; None where that is not whole. A server does not mask."""
    if len(data) < 2:
        return None

    if data[1] < 126:
        return 2 + data[1]

    form, end = ("!H", 4) if data[1] == 126 else ("!Q", 10)

    return end + struct.unpack(form, data[2:end])[0] if len(data) >= end else None


def read_head(line: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request or an answer, and what came with it."""
    data = b""

    while b"\r\n\r\n" not in data:
        data += line.recv(65536)

    head, end, rest = data.partition(b"\r\n\r\n")

    return head + end, rest


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
