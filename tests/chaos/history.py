"""What processes say of the jobs in their hands, in one file."""

from __future__ import annotations

import json
import os
import time

from django_partstream.jobs.observer import JobEvent, observe_jobs

__all__ = ("write_to",)


def write_to(path: str) -> None:
    """Append a line for each event of this process from now on."""
    history = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    observe_jobs(lambda event: os.write(history, _told(event)))


def _told(event: JobEvent) -> bytes:
    said = {
        "at": time.monotonic(),
        "pid": os.getpid(),
        "kind": event.kind,
        "job": str(event.job_id),
        "takeover": event.takeover,
        "end": event.end,
    }

    return json.dumps(said).encode() + b"\n"
