"""Processes that die at a named moment of a job."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Literal

from django_partstream.jobs.crash_points import Point, hooked

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("CrashedError", "Point", "crash_at")

SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class CrashedError(BaseException):
    """The process died here, as far as the job can tell: no code of a job catches it,
    and the transaction that was open is rolled back."""


@contextlib.contextmanager
def crash_at(
    point: Point | str, *, nth: int = 1, how: Literal["raise", "kill", "stop"] = "raise"
) -> Iterator[None]:
    """End whatever reaches `point` for the `nth` time while the scope is open.

        with pytest.raises(CrashedError), crash_at("after-step", nth=2):
            run_jobs()

        run_jobs(rescue=True)

    `how` it ends: "raise" raises `CrashedError` there; "kill" ends the process as
    `kill -9` does, "stop" has it stand still until SIGCONT, both for processes that a
    test has started. Points are those of `Point`. Raises ValueError for another one.
    """
    wanted = Point(point)
    lock = threading.Lock()
    left = nth

    def hook(reached: Point) -> None:
        nonlocal left

        if reached is not wanted:
            return

        with lock:
            left -= 1
            now = left == 0

        if now and how == "raise":
            raise CrashedError(f"{wanted}, time {nth}")

        if now:
            os.kill(os.getpid(), SIGNALS[how])

    with hooked(hook):
        yield
