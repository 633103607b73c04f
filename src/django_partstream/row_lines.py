"""Answers of one line for each row, made while they are sent."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

from django.http import StreamingHttpResponse

from .renderers import NDJSONRenderer
from .result_files import off_the_loop
from .sets.lines import begun, in_locale
from .streamable import is_asgi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rest_framework.request import Request

__all__ = ("RowLines", "asks_for_lines")

PIECE_BYTES = 64 * 1024
SPOOL_BYTES = 1024 * 1024


def asks_for_lines(request: Request) -> bool:
    """Whether the client likes NDJSON best."""
    return isinstance(getattr(request, "accepted_renderer", None), NDJSONRenderer)


class RowLines(StreamingHttpResponse):
    """Pieces of lines: the first is made now, the others when the client takes them."""

    def __init__(
        self, request: Request, pieces: Iterator[bytes], *, status: int
    ) -> None:
        self._request = request
        self._pieces = begun(in_locale(pieces))
        super().__init__(
            self._sent(self._pieces),
            content_type=NDJSONRenderer.media_type,
            status=status,
        )
        self["X-Accel-Buffering"] = "no"

    def make_all(self) -> None:
        """Make the others now, into a file: what they show will not be there later."""
        file = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - below
        closers: list[Any] = vars(self)["_resource_closers"]
        closers.append(file.close)

        for piece in self._pieces:
            file.write(piece)

        file.seek(0)
        kept = iter(lambda: file.read(PIECE_BYTES), b"")
        self.streaming_content = self._sent(kept)

    def _sent(self, pieces: Iterator[bytes]) -> Any:
        if is_asgi(self._request):
            return off_the_loop(pieces, request=self._request)

        return pieces
