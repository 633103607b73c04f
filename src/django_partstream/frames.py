"""The wire's vocabulary: what a producer says and a transport carries.

PROTOCOL section 1. Values only. `data`, `items` and `snapshot` hold whatever
`encoding.encode` accepts, most often JSON that was encoded where it was made.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from .problems import Problem

__all__ = (
    "PROTOCOL_VERSION",
    "End",
    "EndReason",
    "Error",
    "Frame",
    "Items",
    "Live",
    "Part",
    "Ping",
    "Progress",
    "Push",
    "Pushing",
    "Rest",
    "Start",
    "wire",
)

PROTOCOL_VERSION = 1

EndReason = Literal["complete", "deadline", "refused", "shutdown"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Always first: what will come, in declared order."""

    parts: tuple[str, ...]
    cursor: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part is complete. `ms` counts from the start of its own work."""

    name: str
    #: Not sent where there is a `count`.
    data: Any = None
    #: The items of a streamed list, which this frame closes; None for other parts.
    count: int | None = None
    cursor: str | None
    ms: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A batch of a streamed list part; `seq` 0 (re)starts the list."""

    name: str
    seq: int
    items: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """A part failed; the others go on."""

    name: str
    error: Problem
    cursor: str | None
    ms: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A job moved on: a complete snapshot, never a delta (PROTOCOL section 7)."""

    snapshot: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Ping:
    """Nothing happened for a while."""


@dataclasses.dataclass(frozen=True, slots=True)
class Live:
    """Everything was sent once; the stream stays open for changes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Always last."""

    ok: int
    failed: int
    cursor: str | None
    reason: EndReason
    #: Why a live stream was refused.
    error: Problem | None = None


Frame = Start | Part | Items | Error | Progress | Ping | Live | End


class Rest(Protocol):
    """What is left to do: to be awaited by who waits for the next frame, or closed."""

    def __await__(self) -> Generator[Any, Any, None]: ...

    def close(self) -> object: ...


#: Takes a frame at once, or leaves a rest.
Push: TypeAlias = "Callable[[Frame], Rest | None]"


@runtime_checkable
class Pushing(Protocol):
    """A producer that hands frames over where they come in, while its reader waits for
    the next: thousands of readers that wait for the same need not be woken for it."""

    def push_to(self, push: Push, /) -> None: ...


def wire(frame: Frame) -> dict[str, Any]:
    """The JSON object of a frame, its `type` first."""
    match frame:
        case Start():
            return {
                "type": "start",
                "v": PROTOCOL_VERSION,
                "parts": frame.parts,
                "cursor": frame.cursor,
            }
        case Part():
            content: dict[str, Any] = (
                {"data": frame.data} if frame.count is None else {"count": frame.count}
            )

            return {
                "type": "part",
                "name": frame.name,
                **content,
                "cursor": frame.cursor,
                "ms": frame.ms,
            }
        case Items():
            return {
                "type": "items",
                "name": frame.name,
                "seq": frame.seq,
                "items": frame.items,
            }
        case Error():
            return {
                "type": "error",
                "name": frame.name,
                "error": frame.error.wire(),
                "cursor": frame.cursor,
                "ms": frame.ms,
            }
        case Progress():
            return {"type": "progress", **frame.snapshot}
        case Ping():
            return {"type": "ping"}
        case Live():
            return {"type": "live"}
        case End():
            return {
                "type": "end",
                "ok": frame.ok,
                "failed": frame.failed,
                "cursor": frame.cursor,
                "reason": frame.reason,
                **({} if frame.error is None else {"error": frame.error.wire()}),
            }
