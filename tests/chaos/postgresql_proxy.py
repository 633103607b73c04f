"""A proxy in front of PostgreSQL that lets a COMMIT through and cuts the connection
instead of telling that it was done."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from asgi_example import ports


class Proxy:
    """Listens on `port`; swallows the answer to every `every`th COMMIT, `cuts` times
    in all."""

    def __init__(self, target: int, *, every: int, cuts: int) -> None:
        self._target = target
        self._every = every
        self._left = cuts
        self._commits = 0
        self._lock = threading.Lock()
        self._listener = ports.listen(0)
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0

    def serve(self) -> None:
        # OSError: closed, which is how it ends.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,)).start()

    def close(self) -> None:
        # A close alone does not wake who accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

        self._listener.close()

    def _relay(self, client: socket.socket) -> None:
        server = socket.create_connection((ports.HOST, self._target))
        deaf = threading.Event()

        with client, server, contextlib.suppress(OSError):
            answers = threading.Thread(target=_pipe, args=(server, client, deaf))
            answers.start()

            while data := client.recv(65536):
                if b"COMMIT" in data and self._takes():
                    deaf.set()
                    server.sendall(data)
                    # Its end: the server has committed, and said so to nobody.
                    server.shutdown(socket.SHUT_WR)
                    answers.join()
                    client.shutdown(socket.SHUT_RDWR)
                    return

                server.sendall(data)

            server.shutdown(socket.SHUT_RDWR)

    def _takes(self) -> bool:
        with self._lock:
            self._commits += 1

            if self._left == 0 or self._commits % self._every:
                return False

            self._left -= 1
            self.cuts += 1

            return True


def _pipe(source: socket.socket, sink: socket.socket, deaf: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if not deaf.is_set():
                sink.sendall(data)

        if not deaf.is_set():
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int, *, every: int, cuts: int) -> Iterator[Proxy]:
    made = Proxy(target, every=every, cuts=cuts)
    thread = threading.Thread(target=made.serve)
    thread.start()

    try:
        yield made
    finally:
        made.close()
        thread.join()
