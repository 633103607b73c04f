"""Many objects, read: at once, as a stream, or by a job."""

from __future__ import annotations

from .answering import answer
from .download import downloaded
from .work import KIND

__all__ = ("KIND", "answer", "downloaded")
