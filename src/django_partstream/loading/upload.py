"""A file on its way to the server: its type, its pieces."""

from __future__ import annotations

import dataclasses
import zlib
from typing import TYPE_CHECKING

from .site import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ("Upload", "upload_of")

PIECE_BYTES = 256 * 1024
TYPES: Mapping[str, str] = {
    ".csv": "text/csv",
    ".tsv": "text/csv",
    ".txt": "text/csv",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file and how it is sent."""

    path: Path
    content_type: str
    size: int
    #: The file itself is compressed.
    is_gzip: bool
    #: It is compressed as it leaves.
    compress: bool

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": self.content_type}

        if self.is_gzip or self.compress:
            headers["Content-Encoding"] = "gzip"

        if not self.compress:
            headers["Content-Length"] = str(self.size)

        return headers

    def pieces(self, on_read: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes as they are sent; `on_read` hears how much of the file was read."""
        # The header and trailer of gzip.
        packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        read = 0

        with self.path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                read += len(piece)
                on_read(read)
                yield from _some(packer.compress(piece) if self.compress else piece)

        if self.compress:
            yield packer.flush()


def _some(piece: bytes) -> tuple[bytes, ...]:
    # An empty piece would end a chunked body.
    return (piece,) if piece else ()


def upload_of(path: Path, *, content_type: str | None, compress: bool) -> Upload:
    """Raises LoadError where it cannot be read, or its type is not known."""
    is_gzip = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if is_gzip else path).suffix.lower()
    known = content_type or TYPES.get(suffix)

    if known is None:
        raise LoadError(
            f"What is in {path.name} cannot be told from its name; expected one of "
            f"{', '.join(TYPES)}, or --content-type."
        )

    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}.") from error

    return Upload(
        path=path,
        content_type=known,
        size=size,
        is_gzip=is_gzip,
        compress=compress and not is_gzip,
    )
