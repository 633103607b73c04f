"""One open connection, while calls of ours use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from django_partstream import conf

from .statements import end_statement, really_close

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .call import Work

__all__ = ("Held",)


class Held:
    """A connection whose statements can be ended from another thread.

    The server ends whatever the connection runs when the order arrives, so the order
    must not overtake the work that it is meant for: it would hit the statement of the
    connection's next user. Hence `lock` is held while an order is on its way and while
    the connection is closed or given back to a pool, and one that was given an order
    is closed for good.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        lock: threading.Lock,
        current: Callable[[], Work | None],
    ) -> None:
        self.connection = connection
        self._lock = lock
        self._current = current
        self._was_ended = False
        self._is_set_up = False
        self._undo: Callable[[], Any] | None = None
        self._close = connection.close
        # By instance: parts may close connections themselves, and have statements
        # watched. Ours comes first, since theirs is removed from the end.
        connection.close = self._close_guarded  # type: ignore[method-assign]
        connection.execute_wrappers.insert(0, self._execute)

    @property
    def is_open(self) -> bool:
        return self.connection.connection is not None

    @property
    def is_spoiled(self) -> bool:
        """It was given an order, or has a request's settings: no other may get it."""
        return self._was_ended or self._is_set_up

    def end(self) -> None:
        """From another thread, which has the lock: end what it runs."""
        if end_statement(self.connection):
            self._was_ended = True

    def set_up(self, request: Any) -> None:
        """Call `CONNECTION_SETUP`. A connection that it fails for is closed."""
        hook = conf.current().connection_setup

        if hook is None or request is None or not self.is_open:
            return

        if isinstance(hook, str):
            hook = import_string(hook)

        try:
            self._take_back()
            self._is_set_up = True
            undo = hook(request, self.connection)
            self._undo = undo if callable(undo) else None
        except BaseException:
            self.connection.close()
            raise

    def renew(self, *, same_request: bool) -> None:
        """Before the next call."""
        connection = self.connection
        autocommit = connection.settings_dict["AUTOCOMMIT"]

        if not self.is_open:
            return

        if not same_request:
            connection.close_if_unusable_or_obsolete()
        elif connection.errors_occurred or connection.get_autocommit() != autocommit:
            connection.close()

    def give_back(self, *, keep: bool) -> None:
        """Close it, or keep it as CONN_MAX_AGE says."""
        connection = self.connection
        connection.queries_log.clear()

        try:
            if keep and not connection.in_atomic_block:
                self._take_back()
                keep = not self.is_spoiled
            else:
                keep = False
        finally:
            # What a call left open, nobody will leave any more.
            connection.in_atomic_block = connection.closed_in_transaction = False

            if keep:
                connection.close_if_unusable_or_obsolete()
            else:
                connection.close()

    def release(self) -> None:
        """Guard it no more."""
        del self.connection.close
        self.connection.execute_wrappers.remove(self._execute)

    def _take_back(self) -> None:
        undo, self._undo = self._undo, None

        if undo is not None and self.is_open:
            undo()
            self._is_set_up = False

    def _close_guarded(self) -> None:
        with self._lock:
            if self.is_spoiled:
                really_close(self.connection)

            self._close()

            if not self.is_open:
                self._was_ended = self._is_set_up = False
                self._undo = None

    def _execute(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: Any,
        context: Any,
    ) -> Any:
        work = self._current()

        if work is None or not work.is_cancelled:
            try:
                return execute(sql, params, many, context)
            except Exception as error:
                if work is None or not work.is_cancelled:
                    raise

                raise _cancelled(self.connection.alias) from error

        raise _cancelled(self.connection.alias)


def _cancelled(alias: str) -> asyncio.CancelledError:
    # Not an Exception: what catches those, and tries again, must not go on.
    return asyncio.CancelledError(f"Nobody waits for this statement on {alias!r}.")
