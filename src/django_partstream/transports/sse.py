"""Frames as server-sent events: `text/event-stream`, for a browser's EventSource."""

from __future__ import annotations

from django_partstream import encoding, frames

__all__ = ("CONTENT_TYPE", "DONE", "framed")

CONTENT_TYPE = "text/event-stream"

#: The id of a complete `end`. Whoever comes back with it is told to stay away.
DONE = "done"

#: EventSource keeps `error` for the connection.
RENAMED = {"error": "part-error"}


def framed(frame: frames.Frame) -> bytes:
    """The frame as an event. Raises UnencodableError.

    Its id is the newest cursor, with which EventSource comes back; a frame without
    one has no id, so that the one before still counts.
    """
    document = frames.wire(frame)
    name = document["type"]
    event = RENAMED.get(name, name)
    is_done = isinstance(frame, frames.End) and frame.reason == "complete"
    last = DONE if is_done else document.get("cursor")
    head = f"event: {event}\nid: {last}\n" if last else f"event: {event}\n"

    return b"%bdata: %b\n\n" % (head.encode(), encoding.encode_frame(frame))
