"""The rows of a job as its steps ask for them, read ahead while others are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .jobs.ahead import Ahead

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bulk.stretch import Stretch
    from .job_rows import OpenRows

__all__ = ("Supply",)

#: The beginnings of what writes rows.
WRITES = ("INSERT", "UPDATE", "DELETE", "COPY")


class Supply:
    """Rows in their order, as many at a time as are asked for.

    `ready` is called with what was read, in the thread that read it. `size` rows are
    read at a time.
    """

    def __init__(
        self,
        rows: OpenRows,
        ready: Callable[[Stretch], None],
        *,
        size: int,
        may_read_ahead: bool,
    ) -> None:
        self._rows = rows
        self._ready = ready
        self._size = size
        self._may_read_ahead = may_read_ahead and rows.is_fetched
        self._ahead: Ahead[Stretch | None] = Ahead(self._read)
        self._is_over = False
        #: The next rows cannot be read.
        self._error: Exception | None = None
        self._next: Stretch | None = None
        self._given = 0
        rows.fetch()

    def take(self, count: int) -> Stretch | None:
        """So many rows, or fewer; None after the last."""
        if not self._has_more():
            return None

        if self._error is not None:
            raise self._error

        assert self._next is not None  # it has more
        start = self._given
        self._given = min(start + count, len(self._next))

        return self._next.part(start, self._given)

    def is_over(self) -> bool:
        """Whether the last row was given. It was not where the next cannot be read,
        which `take` says: it is no fault of those before."""
        return not self._has_more()

    def while_writing(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: Any,
        context: Any,
    ) -> Any:
        """A wrapper of what is executed: while the database writes, rows are read."""
        if not self._is_over and self._may_read_ahead and str(sql).startswith(WRITES):
            self._ahead.begin()

        return execute(sql, params, many, context)

    def close(self) -> None:
        self._ahead.close()

    def _has_more(self) -> bool:
        while self._error is None and self._given == len(self._next or ()):
            if self._is_over:
                return False

            self._advance()

        return True

    def _advance(self) -> None:
        try:
            self._next, self._given = self._ahead.take(), 0
        except Exception as error:
            self._error = error

            return

        self._is_over = self._next is None
        # Here, and not in the thread, which has no connection.
        self._rows.fetch()

    def _read(self) -> Stretch | None:
        stretch = self._rows.reader.take(self._size)

        if stretch:
            self._ready(stretch)

        return stretch
