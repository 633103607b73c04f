"""One serializer's verdicts on rows of a batch: by columns where it can be, row by row
where somebody else's code has its say."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from rest_framework.exceptions import ValidationError
from rest_framework.fields import SkipField, get_error_detail
from rest_framework.serializers import as_serializer_error

from .compiled.reading import ABSENT, UNSURE, Absent
from .compiled.shape import Blank, shape_of
from .compiled.sheet import Sheet, filled, picked
from .compiled.unique import field_keys, keys_of_columns, together_keys
from .outcome import RowError, row_errors
from .questions import Question
from .uniqueness import free_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columnar import Columnar
    from .columns import Column
    from .compiled.reading import Reading
    from .compiled.shape import FieldShape
    from .related import Relations
    from .table import Table
    from .uniqueness import Checks

__all__ = ("UNSTORABLE", "UNSTORABLE_ERROR", "Candidate", "Judge", "Verdict")

# What DRF lets through and no database could hold: an integer of 400 bits, a NUL in a
# slug. Row by row, each would be a 500.
UNSTORABLE = (ArithmeticError, DataError, UnicodeError)
UNSTORABLE_ERROR = RowError(
    "", "invalid", "This row has a value that cannot be stored."
)


@dataclasses.dataclass(slots=True)
class Candidate:
    """A row to be validated: as a new one, or as a change of a stored one."""

    #: Among the rows that were primed.
    place: int
    data: Any
    instance: Model | None = None


@dataclasses.dataclass(slots=True)
class Verdict:
    """What validation said of a row."""

    is_valid: bool
    errors: tuple[RowError, ...] = ()
    #: As `serializer.validated_data`, where the row was looked at by itself.
    values: dict[str, Any] | None = None
    #: What the table's columns are to hold; None where those are no plain values.
    record: dict[str, Any] | None = None


class Judge:
    """A serializer, and how far its verdicts are compiled.

    While the checks are asking, a verdict supposes that every key is free.
    """

    def __init__(
        self,
        serializer: Serializer[Any],
        *,
        key: Sequence[Column],
        relations: Relations,
        checks: Checks,
    ) -> None:
        self.serializer = serializer
        self._relations = relations
        self._checks = checks
        # First of all: later, the fields are no longer what they were.
        self.shape = shape_of(serializer)
        free_key(serializer, key)
        relations.attach(serializer)
        self._unique = checks.attach(serializer)
        self._sheet: Sheet | None = None

        if self.shape is not None:
            for field in self.shape.fields:
                if field.name in self._unique.unknown_fields:
                    field.reading, field.is_relation = None, False

        #: Whether rows that are plain need no look at each.
        self.is_columnar = self.shape is not None and self._is_columnar()

    @property
    def asks(self) -> bool:
        """Whether it asks what others have."""
        return bool(self._unique.fields or self._unique.rows)

    def _is_columnar(self) -> bool:
        shape = self.shape
        assert shape is not None  # for mypy: asked of those that have one

        sources = {field.source for field in shape.fields}

        return (
            shape.is_flat
            and not shape.has_hooks
            and len(sources) == len(shape.fields)
            and not self._unique.has_unknown
            and not (self.serializer.validators and shape.has_read_only_defaults)
            and all(sources.issuperset(rule.sources) for rule in self._unique.rows)
        )

    def prime(
        self,
        rows: Sequence[Any],
        names: frozenset[str] | None = None,
        other: Judge | None = None,
    ) -> None:
        """Read these rows; of their members, only `names`, if given. What another judge
        has read in the same way is not read again."""
        if self.shape is None:
            return

        like = None

        if other is not None and other.shape is not None:
            like = other._sheet if self.shape.reads_like(other.shape) else None

        self._sheet = Sheet(self.shape, rows, self._relations.reading, names, like)

    def read_ahead(self, rows: Columnar) -> None:
        """Read of these rows what depends on nothing but them; in any thread."""
        for field in () if self.shape is None else self.shape.fields:
            if field.reading is not None and not (field.is_relation or field.is_hidden):
                rows.read(field.name, field.reading)

    def beside(self, rows: Columnar, relation: Callable[[Any], Reading | None]) -> Self:
        """One of these rows, for `odd`, `asked` and `columns` in another thread.
        `relation` is how a related field is read."""
        assert self.shape is not None  # for mypy: it is columnar
        other = copy.copy(self)
        other._sheet = Sheet(self.shape, rows, relation)

        return other

    def cells(self, name: str) -> Sequence[Any] | None:
        """What the primed rows have under a name, unread."""
        return None if self._sheet is None else self._sheet.cells(name)

    def column(self, name: str) -> list[Any] | None:
        """The cells of a field as this serializer reads them, its own hook apart."""
        if self._sheet is None or self.shape is None:
            return None

        for field in self.shape.fields:
            if field.name == name and field.hook is None:
                return self._sheet.column(field)

        return None

    def odd(self) -> set[int]:
        """The places of rows that need a look at each, whoever else there is."""
        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        return set(sheet.strange).union(*(sheet.unsure(f) for f in shape.fields))

    def asked(
        self, places: Sequence[int], stored: Mapping[str, Sequence[Any]] | None
    ) -> tuple[set[int], list[tuple[Any, list[Any]]]]:
        """Which of these rows, by index, need a look at each for what they lack; and
        which keys all of them ask for, by check. `stored` is what they change, by
        column; None for rows that are new."""
        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        found: set[int] = set()
        asked: list[tuple[Any, list[Any]]] = []

        for field in shape.fields:
            for check in self._unique.fields.get(field.name, ()):
                is_exempt = field.reading is not None and field.reading.is_blank_exempt
                cells = picked(sheet.column(field), places)
                keys = field_keys(check.ordered[0], cells, is_blank_exempt=is_exempt)
                asked.append((check, keys))

        by_source = {field.source: field for field in shape.fields}

        for rule in self._unique.rows:
            columns = [
                filled(field, picked(sheet.column(field), places))
                for field in map(by_source.__getitem__, rule.sources)
            ]

            if rule.check is None:
                if stored is None:
                    found.update(_gaps(columns))

                continue

            rows, unsure = keys_of_columns(rule, columns, stored)
            found.update(unsure)
            asked.append((rule.check, rows))

        return found, asked

    def columns(
        self, table: Table, places: Sequence[int]
    ) -> dict[str, Sequence[Any]] | None:
        """What the table's columns are to hold; None where not all of that are plain
        values of columns. ABSENT stays as it is."""
        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        columns: dict[str, Sequence[Any]] = {}

        for field in shape.fields:
            cells = filled(field, picked(sheet.column(field), places))
            column = table.column(field.source, cells)

            if column is None:
                return None

            columns[column[0]] = column[1]

        return columns

    def doubtful(
        self, places: Sequence[int], instances: Sequence[Model | None]
    ) -> tuple[set[int], list[tuple[Any, list[Any]]]]:
        """Which of the rows, by index, need a look at each; and which keys all of them
        ask for, by check."""
        if not self.is_columnar:
            return {*range(len(places))}, []

        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        odd = sheet.strange.union(*(sheet.unsure(field) for field in shape.fields))
        found = {i for i, place in enumerate(places) if place in odd} if odd else set()
        asked: list[tuple[Any, list[Any]]] = []

        for field in shape.fields:
            for check in self._unique.fields.get(field.name, ()):
                is_exempt = field.reading is not None and field.reading.is_blank_exempt
                cells = picked(sheet.column(field), places)
                keys = field_keys(check.ordered[0], cells, is_blank_exempt=is_exempt)
                asked.append((check, keys))

        by_source = {field.source: field for field in shape.fields}

        for rule in self._unique.rows:
            columns = [
                filled(field, picked(sheet.column(field), places))
                for field in map(by_source.__getitem__, rule.sources)
            ]

            if rule.check is None:
                if instances and instances[0] is None:
                    found.update(_gaps(columns))

                continue

            rows, unsure = together_keys(rule, columns, instances)
            found.update(unsure)
            asked.append((rule.check, rows))

        return found, asked

    def values(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """The validated values of rows that need no look at each."""
        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        sources = [field.source for field in shape.fields]
        columns = [
            filled(field, picked(sheet.column(field), places)) for field in shape.fields
        ]

        return _rows(sources, columns)

    def records(
        self, table: Table, places: Sequence[int]
    ) -> Sequence[dict[str, Any] | None]:
        """The same as what the table's columns hold, as `table.record` says it."""
        shape, sheet = self.shape, self._sheet
        assert shape is not None  # for mypy: it is columnar
        assert sheet is not None  # for mypy: it is primed

        names, columns = [], []

        for field in shape.fields:
            cells = filled(field, picked(sheet.column(field), places))
            column = table.column(field.source, cells)

            if column is None:
                return [table.record(values) for values in self.values(places)]

            names.append(column[0])
            columns.append(column[1])

        return _rows(names, columns)

    def judge(self, candidate: Candidate) -> Verdict:
        """The verdict on a row by itself."""
        serializer = self.serializer
        serializer.instance = candidate.instance
        serializer.initial_data = candidate.data

        try:
            return Verdict(True, values=self._validated(candidate))
        except ValidationError as error:
            return Verdict(False, row_errors(error.detail))
        except DjangoValidationError as error:
            return Verdict(False, row_errors(get_error_detail(error)))
        except UNSTORABLE:
            return Verdict(False, (UNSTORABLE_ERROR,))

    def _validated(self, candidate: Candidate) -> Any:
        """What `serializer.run_validation` returns or raises."""
        if (
            self.shape is None
            or self._sheet is None
            or candidate.place in self._sheet.strange
        ):
            return self.serializer.run_validation(candidate.data)

        values = self._internal(candidate, self._sheet)

        try:
            if self.serializer.validators:
                self.serializer.run_validators(values)

            if self.shape.hook is not None:
                values = self.shape.hook(values)
                assert values is not None, (
                    ".validate() should return the validated data"
                )
        except (ValidationError, DjangoValidationError) as error:
            raise ValidationError(detail=as_serializer_error(error)) from error

        return values

    def _internal(self, candidate: Candidate, sheet: Sheet) -> dict[str, Any]:
        """As `serializer.to_internal_value`."""
        assert self.shape is not None  # for mypy: it was asked

        values: dict[str, Any] = {}
        errors: dict[str, Any] = {}

        for shape in self.shape.fields:
            field = shape.field

            try:
                value = self._cell(shape, sheet.column(shape), candidate)

                if shape.hook is not None:
                    value = shape.hook(value)
            except ValidationError as error:
                errors[shape.name] = error.detail
            except DjangoValidationError as error:
                errors[shape.name] = get_error_detail(error)
            except SkipField:
                pass
            else:
                self.serializer.set_value(values, field.source_attrs, value)

        if errors:
            raise ValidationError(errors)

        return values

    def _cell(self, shape: FieldShape, column: list[Any], candidate: Candidate) -> Any:
        """As `run_validation` of the field."""
        value = column[candidate.place]

        if value is UNSURE or (value is ABSENT and shape.blank is Blank.ASKED):
            return shape.field.run_validation(shape.field.get_value(candidate.data))

        if value is not ABSENT:
            if shape.name in self._unique.fields:
                self._ask(shape, value, candidate)

            return value

        if shape.blank is Blank.SKIPPED:
            raise SkipField

        return shape.default

    def _ask(self, shape: FieldShape, value: Any, candidate: Candidate) -> None:
        """Ask whether the value is taken, as the field's own validators do."""
        if not self._checks.asking:
            # DRF makes the error, if it is.
            shape.field.run_validation(shape.field.get_value(candidate.data))

            return

        is_exempt = shape.reading is not None and shape.reading.is_blank_exempt
        excluded = None if candidate.instance is None else candidate.instance.pk

        for check in self._unique.fields[shape.name]:
            (key,) = field_keys(check.ordered[0], [value], is_blank_exempt=is_exempt)

            if key is not None:
                self._checks.questions.append(Question(check, key, excluded))


def _gaps(columns: Sequence[Sequence[Any]]) -> Iterator[int]:
    for column in columns:
        if Absent in {*map(type, column)}:
            yield from (i for i, cell in enumerate(column) if cell is ABSENT)


def _rows(
    names: Sequence[str], columns: Sequence[Sequence[Any]]
) -> list[dict[str, Any]]:
    rows = zip(*columns, strict=True)

    if any(Absent in {*map(type, column)} for column in columns):
        return [
            {
                name: cell
                for name, cell in zip(names, row, strict=True)
                if cell is not ABSENT
            }
            for row in rows
        ]

    return [dict(zip(names, row, strict=True)) for row in rows]
