"""An operation on rows, by its verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .deletion import Delete
from .pipeline import Write
from .verb import Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .entry import Target
    from .outcomes import Outcomes
    from .pipeline import Mode
    from .row import Row

__all__ = ("Operation", "operation_on")


class Operation(Protocol):
    """Rows in, outcomes out."""

    verb: Verb
    #: Whether rows are written together or one by one.
    mode: Mode
    #: Why, naming who asks for it.
    reason: str
    #: Whether the outcomes of rows that are created must have primary keys.
    wants_pks: bool
    #: Columns that outcomes are to tell of, as far as they can without reading them.
    wants_columns: Sequence[str]

    def csv_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that a file may have, and those that it must have."""
        ...

    def lock(self, blocks: Iterable[Sequence[Row]]) -> None:
        """Lock the stored rows of all these before any of them is run, as `locking`
        says; those apart whose key only a look at each tells."""
        ...

    def read_ahead(self, rows: Sequence[Row]) -> None:
        """Find out what can be told of these rows without the database, for `run`. In
        any thread, beside `run` for others."""
        ...

    def begin(self) -> None:
        """Say that a transaction begins; may be left unsaid."""
        ...

    def run(self, rows: Sequence[Row]) -> Outcomes:
        """One outcome for each row, in order. Must be called in a transaction."""
        ...


def operation_on(
    target: Target,
    verb: Verb,
    *,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] | None = None,
) -> Operation:
    """The operation of this verb on this target.

    Raises UniqueFieldsError and ColumnsError, which list what is possible.
    """
    if verb is Verb.DELETE:
        return Delete(target, unique_fields=unique_fields)

    return Write(
        target, verb=verb, unique_fields=unique_fields, update_fields=update_fields
    )
