"""What a live stream has sent, so that nothing is sent again unchanged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django_partstream import encoding, frames
from django_partstream.parts.runner import Resolved, gone_problem

if TYPE_CHECKING:
    from django_partstream.problems import Problem

__all__ = ("Sent",)

#: Of a list that is made again, what waits until it is known to have changed. A longer
#: one is always sent.
HELD_BYTES = 256 * 1024


class Sent:
    """The newest state of each part, as digests."""

    def __init__(self) -> None:
        self._digests: dict[str, bytes] = {}
        self._failed: set[str] = set()
        self._lists: dict[str, _List] = {}

    @property
    def names(self) -> frozenset[str]:
        """The parts that the client knows of."""
        return frozenset(self._digests)

    def note(self, frame: frames.Frame) -> None:
        """The frame is sent, whatever was sent before."""
        match frame:
            case frames.Items():
                self._list(frame).add(frame)
            case frames.Part() | frames.Error():
                self._close(frame)

    def changes(self, frame: frames.Frame) -> list[frames.Frame]:
        """What to send of a part that is made again, this being its next frame: none,
        as long as it may turn out to be what the client has already."""
        match frame:
            case frames.Items():
                made = self._list(frame)
                made.add(frame)

                return made.hold(frame)
            case frames.Part() | frames.Error():
                return self._closing(frame)

        return []

    def gone(self, name: str) -> frames.Frame:
        """The part is no longer there."""
        del self._digests[name]
        self._failed.discard(name)

        return Resolved(name=name, ms=0.0, problem=gone_problem(name)).frame(None)

    def end(self, reason: frames.EndReason, error: Problem | None = None) -> frames.End:
        failed = len(self._failed)

        return frames.End(
            ok=len(self._digests) - failed,
            failed=failed,
            cursor=None,
            reason=reason,
            error=error,
        )

    def _list(self, frame: frames.Items) -> _List:
        if frame.seq == 0:
            self._lists[frame.name] = _List()

        return self._lists[frame.name]

    def _closing(self, frame: frames.Part | frames.Error) -> list[frames.Frame]:
        before = self._digests.get(frame.name)
        made = self._lists.get(frame.name)
        self._close(frame)

        if before == self._digests[frame.name] and not (made and made.is_begun):
            return []

        # Its own data, or its problem, stands in the place of its items.
        if made is None or not _closes_list(frame):
            return [frame]

        return [*made.release(), frame]

    def _close(self, frame: frames.Part | frames.Error) -> None:
        made = self._lists.pop(frame.name, None)

        if isinstance(frame, frames.Error):
            self._failed.add(frame.name)
            digest = _digest(b"error", encoding.encode(frame.error.wire()))
        else:
            self._failed.discard(frame.name)
            digest = _digest(b"data", encoding.encode(frame.data))

            if _closes_list(frame):
                digest = made.digest if made else _List().digest

        self._digests[frame.name] = digest


class _List:
    """A list that is being made, and what of it is held back."""

    def __init__(self) -> None:
        self._content = hashlib.blake2b(b"items", digest_size=16)
        self._bytes = 0
        self._held: list[frames.Frame] = []
        #: Whether some of it was sent again.
        self.is_begun = False

    def add(self, frame: frames.Items) -> None:
        # However it was cut into batches.
        text = encoding.encode(frame.items)[1:-1]
        self._bytes += len(text)
        self._content.update(b"," + text)

    def hold(self, frame: frames.Items) -> list[frames.Frame]:
        self._held.append(frame)

        return self.release() if self._bytes > HELD_BYTES else []

    def release(self) -> list[frames.Frame]:
        self.is_begun = True
        held, self._held = self._held, []

        return held

    @property
    def digest(self) -> bytes:
        return self._content.digest()


def _closes_list(frame: frames.Part | frames.Error) -> bool:
    return isinstance(frame, frames.Part) and frame.count is not None


def _digest(kind: bytes, content: bytes) -> bytes:
    return hashlib.blake2b(kind + content, digest_size=16).digest()
