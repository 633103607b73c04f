"""Frames as pages: the shape for plain clients, WSGI and proxies that buffer.

PROTOCOL section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("page",)


def page(
    results: Sequence[frames.Part | frames.Error],
    *,
    cursor: str | None,
    total_parts: int,
) -> dict[str, Any]:
    """One page. A part that failed stands as null in `results`, and its problem in
    `errors`, which is absent when there is none."""
    failed = [
        frame.error.wire() for frame in results if isinstance(frame, frames.Error)
    ]
    body: dict[str, Any] = {
        "results": [
            {frame.name: frame.data if isinstance(frame, frames.Part) else None}
            for frame in results
        ],
        "cursor": cursor,
        "meta": {
            "total_parts": total_parts,
            "current_chunk_size": len(results),
            "has_more": cursor is not None,
        },
    }

    if failed:
        body["errors"] = failed

    return body
