"""Small proxies that do to a stream what real ones do, in threads of the tests."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Way", "proxy")

#: What becomes of the body: handed on as it comes, held until its end, held until a
#: kilobyte is there, compressed piece by piece, or cut after the second line.
Way = Literal["through", "hold", "blocks", "gzip", "cut"]
BLOCK = 1024


@contextlib.contextmanager
def proxy(port: int, way: Way) -> Iterator[int]:
    """A proxy in front of `port`; its own port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {
                name: value for name, value in self.headers.items() if name != "Host"
            }
            upstream.request("GET", self.path, headers=headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Via", f"1.1 {way}")
            self.send_header("Transfer-Encoding", "chunked")

            if way == "gzip":
                self.send_header("Content-Encoding", "gzip")

            self.end_headers()

            # The client may leave; so do we then.
            with contextlib.closing(upstream), contextlib.suppress(ConnectionError):
                for piece in handled(pieces(answer), way):
                    self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

                if way != "cut":
                    self.wfile.write(b"0\r\n\r\n")

            self.close_connection = True

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def pieces(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read1(65536):
        yield piece


def handled(body: Iterator[bytes], way: Way) -> Iterator[bytes]:
    match way:
        case "through":
            yield from body
        case "hold":
            yield b"".join(body)
        case "gzip":
            yield from map(gzip.compress, body)
        case "cut":
            read = b""

            while read.count(b"\n") < 2:
                read += next(body)

            yield b"".join(read.splitlines(keepends=True)[:2])
        case "blocks":
            held = b""

            for piece in body:
                held += piece

                if len(held) >= BLOCK:
                    yield held
                    held = b""

            yield held
