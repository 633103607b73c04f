"""Sync work off the event loop: our threads, with connections of their own.

Nothing here knows what the work is.
"""

from __future__ import annotations

from .call import is_cancelled
from .iteration import iterate, iterate_here
from .pool import Pool, Statistics
from .process import close, run_sync, statistics
from .runner import (
    RunSync,
    in_atomic_block,
    run_here,
    run_in_request_thread,
    running_with,
)

__all__ = (
    "Pool",
    "RunSync",
    "Statistics",
    "close",
    "in_atomic_block",
    "is_cancelled",
    "iterate",
    "iterate_here",
    "run_here",
    "run_in_request_thread",
    "run_sync",
    "running_with",
    "statistics",
)
