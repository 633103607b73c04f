"""How far something is, for who waits: a live bar, or a line now and then.

The bar needs a terminal and the extra `rich`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

__all__ = ("LINE_SECONDS", "Bar", "progress_bar")

#: Without a bar, a line no more often than this.
LINE_SECONDS = 2.0


class Bar(Protocol):
    """Where progress is shown."""

    def show(self, doing: str, done: int, total: int) -> None:
        """`done` of `total` now; a new `doing` begins anew."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


@contextlib.contextmanager
def progress_bar(out: TextIO, *, unit: str = "rows") -> Iterator[Bar]:
    """The best bar that `out` can show."""
    if not out.isatty():
        yield _Lines(out, unit)
        return

    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
    except ImportError:
        yield _Lines(out, unit)
        return

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(file=out)

    # Without the redirects; else what is printed elsewhere would end up here.
    with Progress(
        *columns, console=console, redirect_stdout=False, redirect_stderr=False
    ) as progress:
        yield _Live(progress)


class _Live:
    """A bar of rich's."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task: Any = None
        self._doing = ""

    def show(self, doing: str, done: int, total: int) -> None:
        if self._task is not None and doing != self._doing:
            self._progress.remove_task(self._task)
            self._task = None

        if self._task is None:
            self._task = self._progress.add_task(doing, total=total or None)
            self._doing = doing

        self._progress.update(self._task, completed=done, total=total or None)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)


class _Lines:
    """A line when something begins or is complete, and every few seconds between."""

    def __init__(self, out: TextIO, unit: str) -> None:
        self._out = out
        self._unit = unit
        self._said: tuple[str, int] = ("", -1)
        self._said_at = 0.0

    def show(self, doing: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_new = doing != self._said[0] or done >= total > 0
        is_due = now - self._said_at >= LINE_SECONDS

        if (doing, done) == self._said or not (is_new or is_due):
            return

        self._said, self._said_at = (doing, done), now
        percent = f" {100 * done // total} %" if total else ""
        self.say(f"{doing}:{percent} {done} of {total} {self._unit}")

    def say(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()
