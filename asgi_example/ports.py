"""Ports of this machine: which are free, which one answers."""

from __future__ import annotations

import http.client
import socket
import sys

__all__ = ("HOST", "PortError", "answers", "free_port", "listen")

#: Nothing here is reachable from another machine.
HOST = "127.0.0.1"


class PortError(Exception):
    """The port that was asked for cannot be used.

    `free` is one that can.
    """

    def __init__(self, port: int, reason: str | None) -> None:
        self.free = _next_free(port)
        super().__init__(f"Port {port} cannot be used ({reason}).")


def listen(port: int) -> socket.socket:
    """A socket bound to `port`, 0 meaning any. Raises PortError."""
    try:
        return _bound(port)
    except OSError as error:
        raise PortError(port, error.strerror) from error
    except OverflowError as error:
        raise PortError(port, "ports end at 65535") from error


def free_port() -> int:
    """A port that nobody uses at this moment, and that Linux gives to nobody else while
    this process lives: only who asks for it by its number gets it."""
    with listen(0) as listener:
        port = int(listener.getsockname()[1])

        if sys.platform == "linux":
            # Left bound: with SO_REUSEADDR, which servers set as we do, another socket
            # may listen there all the same. (Elsewhere it may not.)
            listener.detach()

    return port


def answers(port: int, path: str = "/") -> bool:
    """Whether a GET gets an answer that is no server error."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)

    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    try:
        listener.bind((HOST, port))
    except BaseException:
        listener.close()
        raise

    return listener


def _next_free(port: int) -> int:
    for candidate in range(max(port, 8000) + 1, min(port + 1000, 65536)):
        try:
            _bound(candidate).close()
        except OSError:
            continue

        return candidate

    return free_port()
