"""What the cells of a CSV row say to a serializer.

A cell says what the same text in a form field says to DRF (`Field.get_value` for HTML
input). So an empty cell is null where the field allows null, blank where it allows
blank, absent where the field is not required, and "" otherwise, which is that field's
error. A cell that is one of the null values is null, whatever the field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.datastructures import MultiValueDict
from rest_framework.fields import Field, empty

from .columnar import Columnar
from .compiled.reading import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.serializers import Serializer

__all__ = ("Cells",)


class Cells:
    """Turns CSV rows into a serializer's input."""

    def __init__(
        self, serializer: Serializer[Any], null_values: frozenset[str]
    ) -> None:
        self._null_values = null_values
        self._blanks: dict[str, Any] = {}
        # Fields that read a form in their own way: lists, JSON.
        self._readers: dict[str, Any] = {}

        for name, field in serializer.fields.items():
            if field.read_only:
                continue

            if type(field).get_value is Field.get_value:
                self._blanks[name] = _form_value(field, "")
            else:
                self._readers[name] = field

    def data(self, cells: Mapping[str, str]) -> dict[str, Any]:
        blanks, readers, null_values = self._blanks, self._readers, self._null_values
        data: dict[str, Any] = {}

        for name, cell in cells.items():
            value: Any = cell

            if cell in null_values:
                value = None
            elif name in readers:
                value = _form_value(readers[name], cell)
            elif not cell:
                value = blanks.get(name, cell)

            if value is not empty:
                data[name] = value

        return data

    def columns(self, rows: Columnar, *, skips_empty: bool = False) -> Columnar:
        """The same of many rows; with `skips_empty`, of cells that say something."""
        columns = {
            name: self._column(name, cells, skips_empty=skips_empty)
            for name, cells in rows.columns.items()
        }

        return Columnar(columns, len(rows))

    def _column(self, name: str, cells: list[Any], *, skips_empty: bool) -> list[Any]:
        said: dict[Any, Any] = dict.fromkeys(self._null_values)

        if skips_empty:
            said[""] = ABSENT
        elif "" not in said and name in self._blanks:
            blank = self._blanks[name]
            said[""] = ABSENT if blank is empty else blank

        if name in self._readers:
            field = self._readers[name]

            return [
                said[cell]
                if cell in said
                else ABSENT
                if cell is ABSENT or (value := _form_value(field, cell)) is empty
                else value
                for cell in cells
            ]

        if said.keys().isdisjoint(cells):
            return cells

        # A cell that stands for itself, as most do.
        return [*map(said.get, cells, cells)]


def _form_value(field: Any, cell: str) -> Any:
    return field.get_value(MultiValueDict({field.field_name: [cell]}))
