"""Frames as JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from django_partstream import frames

from .rules import Encoded
from .values import encode, one_line
from .walking import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("PROGRESS_KEPT", "encode_frame")


def encode_frame(frame: frames.Frame) -> bytes:
    """The frame as one JSON object, without a newline. Raises as `encode` does."""
    if isinstance(frame, frames.Progress):
        return _encode_progress(frame)

    document = frames.wire(frame)

    # What is large is most often encoded already, and need not be searched for NaNs.
    if type(document.get("items", document.get("data"))) is Encoded:
        try:
            return one_line(orjson.dumps(document, None, OPTIONS))
        except orjson.JSONEncodeError:
            pass

    return encode(document)


#: Snapshots whose text is kept.
PROGRESS_KEPT = 32
#: What was encoded last, with its snapshot, by the identity of that: whoever follows a
#: job in this process is handed the same one.
_progress: dict[int, tuple[Mapping[str, Any], bytes]] = {}


def _encode_progress(frame: frames.Progress) -> bytes:
    key = id(frame.snapshot)
    known = _progress.get(key)

    if known is not None and known[0] is frame.snapshot:
        return known[1]

    text = encode(frames.wire(frame))

    if len(_progress) >= PROGRESS_KEPT:
        _progress.clear()

    _progress[key] = frame.snapshot, text

    return text
