"""By which fields rows are told apart, and the key of each row."""

from __future__ import annotations

import dataclasses
from types import NoneType
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import models
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import Field, SkipField, get_error_detail
from rest_framework.relations import PrimaryKeyRelatedField

from django_partstream.errors import UniqueFieldsError

from . import columns as cols
from .columnar import members
from .compiled.reading import Absent, Unsure
from .compiled.unique import identities
from .outcome import RowError, row_errors
from .plan import UNSTORABLE
from .uniqueness import without_uniqueness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model
    from rest_framework.serializers import Serializer

    from .columns import Column
    from .matching import Key
    from .plan import Plan
    from .related import Relations

__all__ = (
    "NO_KEY",
    "KeyReader",
    "UniqueFields",
    "allowed_names",
    "primary_key",
    "unique_fields",
)


@dataclasses.dataclass(frozen=True, slots=True)
class UniqueFields:
    """Serializer fields that identify a row together, with their columns."""

    names: tuple[str, ...]
    columns: tuple[Column, ...]
    #: Whether it is a primary key that is not written: rows with one must exist.
    is_assigned: bool
    #: Whether the model says that a null is equal to a null here.
    nulls_match: bool = False


#: Of a key of several parts.
NOT_FOUND = RowError("", "does_not_exist", "There is no object with this key.")

#: Of these, an integer is its own value.
STOCK_KEYS = (models.AutoField, models.BigAutoField, models.SmallAutoField)

#: Of rows that are all new.
NO_KEY = UniqueFields(names=(), columns=(), is_assigned=False)


def primary_key(serializer: Serializer[Any], model: type[Model]) -> UniqueFields:
    """The primary key, under the serializer's name for it if it has one."""
    column: Column = model._meta.pk
    names = [n for n, c in _key_columns(serializer, model).items() if c is column]

    return UniqueFields(
        names=(names[0] if names else column.attname,),
        columns=(column,),
        is_assigned=True,
    )


def unique_fields(
    serializer: Serializer[Any], model: type[Model], names: Sequence[str]
) -> UniqueFields:
    """The fields of these names. Raises UniqueFieldsError, which lists the sets that
    can be used, unless they are just one of the model's unique sets."""
    by_name = _key_columns(serializer, model)
    allowed = allowed_names(serializer, model)
    unknown = [name for name in names if name not in by_name]

    if not names:
        raise _error("No unique_fields were given.", allowed)

    if unknown:
        listed = ", ".join(f"{name[:80]!r}" for name in unknown[:20])
        what = f"{type(serializer).__name__} has no key field {listed}."
        raise _error(what, allowed)

    if frozenset(names) not in map(frozenset, allowed):
        listed = ", ".join(f"{name!r}" for name in names)
        raise _error(f"{listed} together do not identify a row.", allowed)

    columns = tuple(by_name[name] for name in names)

    return UniqueFields(
        names=tuple(names),
        columns=columns,
        is_assigned=any(serializer.fields[name].read_only for name in names),
        nulls_match=frozenset(columns) in map(frozenset, cols.null_sets(model)),
    )


def allowed_names(
    serializer: Serializer[Any], model: type[Model]
) -> list[tuple[str, ...]]:
    """The sets of fields that identify a row, the model's unique sets."""
    return list(_allowed(_key_columns(serializer, model), model))


def _error(what: str, allowed: Sequence[tuple[str, ...]]) -> UniqueFieldsError:
    listed = "; ".join(",".join(names) for names in allowed) or "none"

    return UniqueFieldsError(
        f"{what} Possible unique_fields: {listed}.",
        extra={"allowed": [list(names) for names in allowed]},
    )


def _key_columns(serializer: Serializer[Any], model: type[Model]) -> dict[str, Column]:
    by_source = cols.columns_by_source(model)
    fields: Any = serializer.fields

    return {
        name: column
        for name, field in fields.items()
        if (column := by_source.get(field.source)) is not None
        and (not field.read_only or column.primary_key)
    }


def _allowed(
    by_name: dict[str, Column], model: type[Model]
) -> Iterator[tuple[str, ...]]:
    names = {column: name for name, column in by_name.items()}
    seen = set()

    for columns in cols.unique_sets(model):
        key = frozenset(columns)

        if key not in seen and key <= names.keys():
            seen.add(key)
            yield tuple(names[column] for column in columns)


class KeyReader:
    """Reads the keys of rows, as their values would be stored: each key field is
    validated by itself, without asking whether its value is taken."""

    def __init__(
        self,
        serializer: Serializer[Any],
        relations: Relations,
        fields: UniqueFields,
        *,
        required: bool = False,
    ) -> None:
        without_uniqueness(serializer)
        relations.attach(serializer)
        self._serializer = serializer
        self._fields = fields
        self._required = required
        self._known: Sequence[Key | None] = ()

    def prime(self, plan: Plan) -> None:
        """Let the keys of whole columns be known, by the plan's reading of its rows."""
        self._known = ()

        if self._fields.is_assigned or not self._fields.names:
            return

        read = [plan.column(name) for name in self._fields.names]
        parts = [part for part in read if part is not None]

        if len(parts) < len(read):
            return

        unknown = {Absent, Unsure}

        if not self._fields.nulls_match:
            unknown.add(NoneType)

        columns = zip(self._fields.columns, parts, strict=True)
        found = [identities(column, part) for column, part in columns]
        keys = [*zip(*found, strict=True)]

        if unknown.isdisjoint(kind for part in found for kind in {*map(type, part)}):
            self._known = keys
        else:
            self._known = [
                key if unknown.isdisjoint(map(type, key)) else None for key in keys
            ]

    def told(self, plan: Plan, rows: Sequence[Any]) -> Iterator[Key]:
        """The keys of rows that are not looked at yet, as far as that can be told
        without anybody else's code."""
        if self._fields.is_assigned:
            (name,) = self._fields.names
            known = self.known(plan, rows)

            for key, value in zip(known, members(rows, name), strict=True):
                found = key or self._assigned({name: value})[0]

                if found is not None:
                    yield found

            return

        if any(column.is_relation for column in self._fields.columns):
            plan.prime(rows)
        else:
            plan.new.prime(rows)

        self.prime(plan)
        yield from filter(None, self._known)

    def known(self, plan: Plan, rows: Sequence[Any]) -> list[Key | None]:
        """The keys of a batch that the plan has read, as far as they can be told of
        whole columns; None of the others."""
        if not self._fields.is_assigned:
            self.prime(plan)

            return [*self._known] or [None] * len(rows)

        (name,), (column,) = self._fields.names, self._fields.columns
        found = members(rows, name)

        if type(column) in STOCK_KEYS:
            return [(value,) if type(value) is int else None for value in found]

        return [None] * len(rows)

    def read(
        self, data: Any, place: int | None = None
    ) -> tuple[Key | None, tuple[RowError, ...]]:
        """The row's key; None where it has none: a part is null, absent, or not valid,
        which validation of the whole row then says. Errors only where it would not, or
        where a key is required. `place` is the row's in the primed batch."""
        if place is not None and place < len(self._known):
            known = self._known[place]

            if known is not None:
                return known, ()

        if not self._fields.names or not hasattr(data, "get"):
            return None, ()

        if self._fields.is_assigned:
            return self._assigned(data)

        self._serializer.initial_data = data
        parts = []

        for name in self._fields.names:
            try:
                parts.append(self._part(name, data))
            except (DjangoValidationError, SkipField, ValidationError, *UNSTORABLE):
                return None, self._lacking(name)

        key = self._key(parts)

        return key, () if key is not None else self._lacking(*self._fields.names)

    def _lacking(self, *names: str) -> tuple[RowError, ...]:
        if not self._required:
            return ()

        required = ErrorDetail(
            str(Field.default_error_messages["required"]), "required"
        )

        return row_errors({name: [required] for name in names})

    def not_found(self, key: Key) -> RowError:
        """The error of a row whose assigned key nobody has, whoever may see him."""
        messages = PrimaryKeyRelatedField.default_error_messages

        if len(key) > 1:
            return NOT_FOUND

        (name,), (value,) = self._fields.names, key
        detail = messages["does_not_exist"].format(pk_value=value)

        return RowError(f"/{name}", "does_not_exist", detail)

    def _part(self, name: str, data: Any) -> Any:
        field = self._serializer.fields[name]
        value = field.run_validation(field.get_value(data))
        hook = getattr(self._serializer, f"validate_{name}", None)

        return value if hook is None else hook(value)

    def _assigned(self, data: Any) -> tuple[Key | None, tuple[RowError, ...]]:
        (name,), (column,) = self._fields.names, self._fields.columns
        value = data.get(name)

        if value is None or value == "":
            return None, self._lacking(name)

        try:
            # Of True and 1.5, Python would make integers.
            text = str(value) if isinstance(value, bool | float) else value

            return self._key([column.to_python(text)]), ()
        except DjangoValidationError as error:
            return None, row_errors({name: get_error_detail(error)})

    def _key(self, parts: list[Any]) -> Key | None:
        if not self._fields.nulls_match and any(part is None for part in parts):
            return None

        return tuple(map(cols.identity, self._fields.columns, parts))
