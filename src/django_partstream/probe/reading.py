"""The body of a stream, frame by frame, with the time at which each came."""

from __future__ import annotations

import dataclasses
import http.client
import json
import time
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ("Arrival", "Reading")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A frame, and when its last byte was read. Seconds since the request was sent."""

    at: float
    size: int
    frame: Mapping[str, Any]

    @property
    def work(self) -> float | None:
        """Seconds that the server worked for it, where it says so."""
        ms = self.frame.get("ms")

        return ms / 1000 if isinstance(ms, int | float) else None


class Reading:
    """The body of a response, frame by frame, with the time."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        *,
        began: float,
        ends_at: float,
    ) -> None:
        self.encoding = response.getheader("Content-Encoding", "identity")
        #: The connection was closed before the body was complete.
        self.cut = False
        #: We stopped; the stream did not.
        self.open = False
        #: What stood where a frame should be.
        self.no_frame: str | None = None
        self._response = response
        self._connection = connection
        self._began = began
        self._ends_at = ends_at

    def arrivals(self, *, sse: bool) -> Iterator[Arrival]:
        buffer = b""
        separator = b"\n\n" if sse else b"\n"

        for piece in self._decoded():
            at = time.monotonic() - self._began
            *texts, buffer = (buffer + piece).replace(b"\r\n", b"\n").split(separator)

            for text in texts:
                data = _data(text) if sse else text.strip()

                if not data:
                    continue

                frame = _frame(data)

                if frame is None:
                    self.no_frame = text[:200].decode(errors="replace")
                    return

                yield Arrival(at=at, size=len(text) + len(separator), frame=frame)

        self.cut = self.cut or bool(buffer.strip())

    def _decoded(self) -> Iterator[bytes]:
        if self.encoding == "identity":
            yield from self._pieces()
            return

        # Members, of which Django's GZipMiddleware makes one for each frame.
        decoder = zlib.decompressobj(wbits=47)

        for piece in self._pieces():
            rest = piece

            while rest:
                try:
                    yield decoder.decompress(rest)
                except zlib.error:
                    self.no_frame = f"{self.encoding} that cannot be read"
                    return

                rest = decoder.unused_data

                if decoder.eof:
                    decoder = zlib.decompressobj(wbits=47)

    def _pieces(self) -> Iterator[bytes]:
        while True:
            left = self._ends_at - time.monotonic()

            if left <= 0:
                self.open = True
                return

            if self._connection.sock is not None:
                self._connection.sock.settimeout(left)

            try:
                piece = self._response.read1(65536)
            except TimeoutError:
                self.open = True
                return
            except (OSError, http.client.HTTPException):
                self.cut = True
                return

            if not piece:
                return

            yield piece


def _data(event: bytes) -> bytes:
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))

    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def _frame(text: bytes) -> Mapping[str, Any] | None:
    try:
        frame = json.loads(text)
    except ValueError:
        return None

    return frame if isinstance(frame, dict) and "type" in frame else None
