"""Tools for the tests of projects that use the package. Needs no pytest."""

from __future__ import annotations

from .crashing import CrashedError, Point, crash_at

__all__ = ("CrashedError", "Point", "crash_at")
