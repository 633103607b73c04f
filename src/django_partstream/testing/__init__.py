"""Tools for the tests of projects that use the package. Needs no pytest."""

from __future__ import annotations

from .collecting import acollect_frames, collect_frames
from .crashing import CrashedError, Point, crash_at
from .layers import LossyChannelLayer
from .running import arun_jobs, run_jobs

__all__ = (
    "CrashedError",
    "LossyChannelLayer",
    "Point",
    "acollect_frames",
    "arun_jobs",
    "collect_frames",
    "crash_at",
    "run_jobs",
)
