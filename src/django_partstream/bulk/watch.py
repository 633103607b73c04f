"""Who reads the table that is being written."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

__all__ = ("TableWatch",)


class TableWatch:
    """Notices queries that mention a model's table, or those of its many-to-many
    relations."""

    def __init__(self, model: type[Model], using: str) -> None:
        self._connection = connections[using]
        self._model = model._meta.concrete_model
        relations: Any = model._meta.many_to_many
        throughs = (relation.remote_field.through for relation in relations)
        names = {m._meta.db_table for m in (model, *throughs)}
        self._mentions = re.compile(rf"\b({'|'.join(map(_bare, names))})\b").search
        #: Whether there was one since the scope was entered, or it was reset.
        self.hit = False

    def is_written(self, model: type[Model]) -> bool:
        return model._meta.concrete_model is self._model

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        self.hit = False

        with self._connection.execute_wrapper(self):
            yield

    @contextlib.contextmanager
    def looking_away(self) -> Iterator[None]:
        """For queries of our own, whose answers are seen to."""
        hit = self.hit
        yield
        self.hit = hit

    def __call__(
        self, execute: Any, sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        if not self.hit and self._mentions(str(sql)):
            self.hit = True

        return execute(sql, params, many, context)


def _bare(name: str) -> str:
    """A table's name, which with a schema is written '"schema"."table"'."""
    return re.escape(name.replace('"', "").rpartition(".")[2])
