"""A proxy in front of Redis whose lines can go dead: open, and nothing comes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from asgi_example import ports

__all__ = ("Proxy", "proxy")


class Proxy:
    """Listens on `port`. While `is_dead` is set all that is said is swallowed; lines
    that were open then stay dead, and new ones are taken all the same."""

    def __init__(self, target: int) -> None:
        self.is_dead = threading.Event()
        self._target = target
        self._listener = ports.listen(0)
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def serve(self) -> None:
        # OSError: closed, which is how it ends.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((ports.HOST, self._target))
                dead = threading.Event()
                self._open |= {client, server}

                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pipe, args=(*ends, dead)).start()

    def close(self) -> None:
        for line in (self._listener, *self._open):
            # A close alone wakes nobody.
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

            line.close()

    def _pipe(
        self, source: socket.socket, sink: socket.socket, dead: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.is_dead.is_set():
                    dead.set()

                if not dead.is_set():
                    sink.sendall(data)

            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    made = Proxy(target)
    thread = threading.Thread(target=made.serve)
    thread.start()

    try:
        yield made
    finally:
        made.close()
        thread.join()
