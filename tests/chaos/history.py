"""What processes say of the jobs in their hands, in one file."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time

from django_partstream.jobs.crash_points import Point, hooked
from django_partstream.jobs.observer import JobEvent, observe_jobs

__all__ = ("write_to",)

#: Kept open to the end of the process.
_hook = contextlib.ExitStack()


def write_to(path: str) -> None:
    """Append a line for each event of this process from now on."""
    history = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    tried = threading.local()

    def note(point: Point) -> None:
        if point in (Point.BEFORE_CLAIM, Point.AFTER_RECORD):
            tried.at = time.monotonic()

    def tell(event: JobEvent) -> None:
        at = time.monotonic()
        os.write(history, _told(event, at, leased=getattr(tried, "at", at)))

    _hook.enter_context(hooked(note))
    observe_jobs(tell)


def _told(event: JobEvent, at: float, *, leased: float) -> bytes:
    said = {
        "at": at,
        # Just before the lease was set that holds since the event.
        "leased": leased,
        "pid": os.getpid(),
        "kind": event.kind,
        "job": str(event.job_id),
        "takeover": event.takeover,
        "end": event.end,
    }

    return json.dumps(said).encode() + b"\n"
