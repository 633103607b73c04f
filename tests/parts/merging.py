"""What a client makes of frames and of pages: the reference for every client.

PROTOCOL sections 1 and 3. Nothing here knows how frames came.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

__all__ = ("Merged", "merge", "merge_pages", "parse", "parse_events")

Frame = dict[str, Any]


@dataclasses.dataclass
class Merged:
    """What a client holds. Goes on with the frames of a resumed stream."""

    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    #: By part: the code of its problem.
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Of lists that have not been closed.
    items: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    seqs: dict[str, int] = dataclasses.field(default_factory=dict)
    #: The newest one.
    cursor: str | None = None
    end: Frame | None = None
    #: All that were added.
    frames: list[Frame] = dataclasses.field(default_factory=list)

    def resume(self, rest: Merged) -> None:
        """Go on with what came from the newest cursor on."""
        for name in {*rest.data, *rest.errors}:
            self.items.pop(name, None)
            self.data.pop(name, None)
            self.errors.pop(name, None)

        self.data |= rest.data
        self.errors |= rest.errors
        self.cursor = rest.cursor
        self.end = rest.end

    def add(self, frame: Frame) -> None:
        self.frames.append(frame)

        match frame["type"]:
            case "start":
                self.end = None
            case "items":
                self._add_items(frame)
            case "part":
                self._close(frame)
            case "error":
                self.items.pop(frame["name"], None)
                self.data.pop(frame["name"], None)
                self.errors[frame["name"]] = frame["error"]["code"]
            case "end":
                self.end = frame

        if "cursor" in frame:
            self.cursor = frame["cursor"]

    def add_page(self, page: dict[str, Any]) -> None:
        failed = {
            problem["part"]: problem["code"] for problem in page.get("errors", ())
        }

        for result in page["results"]:
            ((name, data),) = result.items()
            self.items.pop(name, None)
            self.data.pop(name, None)
            self.errors.pop(name, None)

            if name in failed:
                assert data is None
                self.errors[name] = failed[name]
            else:
                self.data[name] = data

        self.cursor = page["cursor"]
        assert page["meta"]["has_more"] is (self.cursor is not None)

    def _add_items(self, frame: Frame) -> None:
        name = frame["name"]

        if frame["seq"] == 0:
            self.items[name] = []
            self.seqs[name] = -1

        # A gap would be an error of the server's.
        assert frame["seq"] == self.seqs[name] + 1
        self.seqs[name] = frame["seq"]
        self.items[name] += frame["items"]

    def _close(self, frame: Frame) -> None:
        name = frame["name"]
        self.errors.pop(name, None)
        items = self.items.pop(name, [])

        if "count" not in frame:
            self.data[name] = frame["data"]
            return

        assert "data" not in frame
        assert len(items) == frame["count"]
        self.data[name] = items


def merge(frames: Iterable[Frame]) -> Merged:
    """What the frames of one whole stream come to."""
    merged = Merged()

    for frame in frames:
        merged.add(frame)

    return merged


def merge_pages(pages: Iterable[dict[str, Any]]) -> Merged:
    """What the pages come to."""
    merged = Merged()

    for page in pages:
        merged.add_page(page)

    return merged


def parse(body: bytes) -> list[Frame]:
    """The frames of an NDJSON body, which may have been cut anywhere."""
    *lines, _rest = body.split(b"\n")

    return [json.loads(line) for line in lines if line]


def parse_events(body: bytes) -> list[Frame]:
    """The frames of an event stream, which may have been cut anywhere."""
    *events, _rest = body.split(b"\n\n")

    return [_event(event.decode()) for event in events]


def _event(text: str) -> Frame:
    fields = dict(line.split(": ", 1) for line in text.split("\n"))
    frame: Frame = json.loads(fields["data"])
    assert fields["event"] == {"error": "part-error"}.get(frame["type"], frame["type"])

    # Its id is the newest cursor: that of this frame where it has one.
    if frame.get("cursor"):
        assert fields["id"] == frame["cursor"]

    return frame
