"""Foreign keys that are written without being looked up.

A related field looks its object up; an integer field with `source="account_id"` does
not. Databases that look themselves do so at once, or are told to. SQLite does so at
COMMIT, when no row can be named any more: there, we look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections, models
from rest_framework.relations import RelatedField

from . import columns as cols
from .matching import Finder, primary_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rest_framework.serializers import Serializer

__all__ = ("References", "unverified")


def unverified(
    serializer: Serializer[Any], model: type[models.Model]
) -> Iterator[models.ForeignKey[Any, Any]]:
    """The foreign keys that this serializer writes as bare values."""
    by_source = cols.columns_by_source(model)
    fields: Any = serializer.fields.values()

    for field in fields:
        column = by_source.get(field.source)

        if (
            isinstance(column, models.ForeignKey)
            and getattr(column, "db_constraint", True)
            and not field.read_only
            and not isinstance(field, RelatedField)
        ):
            yield column


class References:
    """Looks for the objects that bare foreign keys refer to."""

    def __init__(
        self, serializer: Serializer[Any], model: type[models.Model], using: str
    ) -> None:
        self._using = using
        is_late = connections[using].vendor == "sqlite"
        self._columns = [*unverified(serializer, model)] if is_late else []

    @property
    def are_unknown(self) -> bool:
        """Whether there are some that have to be looked for."""
        return bool(self._columns)

    def dangling(self, records: Sequence[Mapping[str, Any]]) -> set[int]:
        """Which of the records, by index, refer to what does not exist."""
        return {
            index for column in self._columns for index in self._of(column, records)
        }

    def _of(
        self,
        column: models.ForeignKey[Any, Any],
        records: Sequence[Mapping[str, Any]],
    ) -> Iterator[int]:
        target = column.target_field
        rows = target.model._base_manager.using(self._using)
        keys = {
            index: (cols.identity(target, record[column.attname]),)
            for index, record in enumerate(records)
            if record.get(column.attname) is not None
        }
        found = Finder(rows, (target,), primary_keys).find({*keys.values()})

        for index, key in keys.items():
            if key not in found.rows:
                yield index

    def dangles(self, instance: models.Model) -> bool:
        """Whether a stored instance refers to what does not exist."""
        record: dict[str, Any] = {
            column.attname: getattr(instance, column.attname)
            for column in self._columns
        }

        return bool(self.dangling([record]))
