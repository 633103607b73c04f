"""New rows made ready for their INSERT while the database is busy with others."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from .refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .columnar import Columnar
    from .plan import Plan
    from .questions import Check
    from .related import Snapshot
    from .writers import Writer

__all__ = ("Ready", "made_ready")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Rows of which none needs a look at each, nor an answer of the database."""

    #: What the table's columns are to hold, as the writer wants them.
    columns: Mapping[str, Sequence[Any]]
    #: What was supposed of the objects that they refer to.
    known: Snapshot


def made_ready(
    rows: Columnar, plan: Plan, writer: Writer, *, may_leave: Callable[[Check], bool]
) -> Ready | None:
    """What can be written if what is known of other tables is still so; None where
    somebody must be asked. In any thread, beside the plan's own.

    `may_leave` says whether the database itself refuses what a check would.
    """
    known = plan.relations.known()

    if known is None:
        return None

    judge = plan.new.beside(rows, known.reading)
    places = range(len(rows))

    if judge.odd():
        return None

    lacking, asked = judge.asked(places, None)

    if lacking or not all(may_leave(check) for check, _ in asked):
        return None

    columns = judge.columns(plan.table, places)

    if columns is None:
        return None

    try:
        made = {
            name: writer.made_ready(plan.table.by_name[name], cells)
            for name, cells in columns.items()
        }
    except REFUSALS:
        # Whoever writes them finds out whose fault that is.
        return None

    return Ready(columns=made, known=known)
