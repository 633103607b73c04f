"""Frames as lines: `application/x-ndjson`, one frame a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_partstream import encoding

if TYPE_CHECKING:
    from django_partstream import frames

__all__ = ("CONTENT_TYPE", "framed")

CONTENT_TYPE = "application/x-ndjson"


def framed(frame: frames.Frame) -> bytes:
    """The frame as a line. Raises UnencodableError."""
    return encoding.encode_frame(frame) + b"\n"
